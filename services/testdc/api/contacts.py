"""Address books and public names."""

from __future__ import annotations

from typing import Any

from services.testdc.api.inputs import user_of
from services.testdc.api.registry import Call, method
from services.testdc.api.show_message import raw_peer
from services.testdc.domain.errors import TelegramError
from services.testdc.domain.peer import Peer
from services.testdc.domain.peers import User
from services.testdc.tl import raw


@method(raw.functions.contacts.GetContacts)
def get_contacts(call: Call, _: Any) -> Any:
    """The caller's contacts."""
    users = [call.world.users[i] for i in sorted(call.me.contacts)]
    return raw.types.contacts.Contacts(
        contacts=[
            raw.types.Contact(user_id=user.user_id, mutual=call.me.user_id in user.contacts) for user in users
        ],
        saved_count=len(users),
        users=[call.present.user(user) for user in users],
    )


@method(raw.functions.contacts.AddContact)
def add_contact(call: Call, query: Any) -> Any:
    """Take somebody into the caller's contacts."""
    user = user_of(call, query.id)
    call.me.contacts.add(user.user_id)
    return raw.types.Updates(updates=[], users=[call.present.user(user)], chats=[], date=call.now, seq=0)


@method(raw.functions.contacts.ImportContacts)
def import_contacts(call: Call, query: Any) -> Any:
    """Find users by their phone numbers and take them into the caller's contacts."""
    found = [(given.client_id, call.world.by_phone(given.phone)) for given in query.contacts]
    known = [(client_id, user) for client_id, user in found if user]
    call.me.contacts.update(user.user_id for _, user in known)
    return raw.types.contacts.ImportedContacts(
        imported=[raw.types.ImportedContact(user_id=u.user_id, client_id=c) for c, u in known],
        popular_invites=[],
        retry_contacts=[],
        users=[call.present.user(user) for _, user in known],
    )


@method(raw.functions.contacts.ResolveUsername)
def resolve_username(call: Call, query: Any) -> Any:
    """Who bears a public name."""
    holder = call.world.by_username(query.username)
    if holder is None:
        raise TelegramError(400, "USERNAME_NOT_OCCUPIED")
    return _resolved(call, holder.peer)


@method(raw.functions.contacts.ResolvePhone)
def resolve_phone(call: Call, query: Any) -> Any:
    """Who has a phone number."""
    user: User | None = call.world.by_phone(query.phone)
    if user is None:
        raise TelegramError(400, "PHONE_NOT_OCCUPIED")
    return _resolved(call, user.peer)


def _resolved(call: Call, peer: Peer) -> Any:
    return raw.types.contacts.ResolvedPeer(peer=raw_peer(peer), **call.present.people([peer]))
