"""What happens to messages after they were said: reading and deleting, and whom to tell."""

from __future__ import annotations

from services.testdc.domain.boxes import EventKind
from services.testdc.domain.errors import TelegramError
from services.testdc.domain.peer import Peer, PeerKind
from services.testdc.domain.speech import Delivery
from services.testdc.domain.world import World


def read(world: World, reader_id: int, peer: Peer, max_id: int) -> list[Delivery]:
    """The reader has seen a chat up to max_id (0: all of it)."""
    if peer.kind is PeerKind.CHANNEL:
        channel = world.channel_of(reader_id, peer)
        channel.read[reader_id] = max(channel.read.get(reader_id, 0), max_id or channel.box.last_id)
        return []
    box = world.users[reader_id].box
    top = box.top(peer)
    if top is None:
        return []
    upto = min(max_id or top.message_id, top.message_id)
    event = box.mark(EventKind.READ_INBOX, peer, upto)
    mine = [] if event is None else [Delivery(reader_id, (event,))]
    return mine + _tell_author(world, reader_id, peer, upto)


def delete(world: World, user_id: int, message_ids: list[int], *, revoke: bool) -> list[Delivery]:
    """Remove messages from a user's box, with `revoke` every other copy, too."""
    own = world.users[user_id].box
    uids = {own.messages[i].uid for i in message_ids if i in own.messages}
    deliveries = []
    for user in world.users.values() if revoke else [world.users[user_id]]:
        ids = [i for uid in uids if (i := user.box.messages.by_uid.get(uid))]
        deliveries += [Delivery(user.user_id, (event,)) for event in user.box.delete(ids)]
    return deliveries


def delete_in_channel(world: World, user_id: int, peer: Peer, message_ids: list[int]) -> list[Delivery]:
    """Remove messages for all; others' only as an admin. Raises TelegramError."""
    channel = world.channel_of(user_id, peer)
    known = [message for i in message_ids if (message := channel.box.find(i))]
    if not channel.is_admin(user_id) and any(message.author_id != user_id for message in known):
        raise TelegramError(403, "MESSAGE_DELETE_FORBIDDEN")
    events = channel.box.delete(message_ids)
    return [Delivery(member, (event,)) for event in events for member in sorted(channel.members)]


def _tell_author(world: World, reader_id: int, peer: Peer, upto: int) -> list[Delivery]:
    """Move the author's outgoing read mark of a private chat; groups keep none here."""
    if peer.kind is not PeerKind.USER or peer.peer_id == reader_id:
        return []
    box, author = world.users[reader_id].box, world.users[peer.peer_id]
    said = [box.messages[i] for i in box.messages.by_peer[peer] if i <= upto]
    uids = [message.uid for message in said if not message.outgoing]
    theirs = author.box.messages.by_uid.get(uids[-1]) if uids else None
    if theirs is None:
        return []
    event = author.box.mark(EventKind.READ_OUTBOX, Peer(PeerKind.USER, reader_id), theirs)
    return [] if event is None else [Delivery(author.user_id, (event,))]
