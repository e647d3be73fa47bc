"""What tests and the demo can ask of the data centre: the control API as plain functions.

The servicer and the in-process twin (embed.py) both call this, so they cannot drift apart. Raises the
errors of services.runtime.errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from secrets import token_bytes

from services.runtime.errors import AlreadyExists, InvalidArgument, NotFound
from services.testdc.adapters.sessions import Login, pyrogram_string, telethon_string
from services.testdc.centre import new_salt
from services.testdc.domain import judge
from services.testdc.domain.errors import TelegramError
from services.testdc.domain.faults import Fault, FaultKind
from services.testdc.domain.journal import Record, RecordKind
from services.testdc.domain.keys import DUPLICATED, AuthKey
from services.testdc.domain.peers import User
from services.testdc.handlers_chats import ChatHandlers
from services.testdc.handlers_messages import MessageHandlers
from services.testdc.handlers_rules import RuleHandlers

DEATHS = {
    "AUTH_KEY_DUPLICATED": DUPLICATED,
    "AUTH_KEY_UNREGISTERED": TelegramError(401, "AUTH_KEY_UNREGISTERED"),
    "SESSION_REVOKED": TelegramError(401, "SESSION_REVOKED"),
    "SESSION_EXPIRED": TelegramError(401, "SESSION_EXPIRED"),
    "USER_DEACTIVATED": TelegramError(401, "USER_DEACTIVATED"),
    "USER_DEACTIVATED_BAN": TelegramError(401, "USER_DEACTIVATED_BAN"),
}
"""What KillKey can make of a key; an empty reason makes the data centre forget it (-404)."""


_API_ID = 12345
_KEY_BYTES = 256


@dataclass(frozen=True, slots=True)
class NewAccount:
    """An account to be made. Empty fields are chosen."""

    phone: str = ""
    first_name: str = ""
    last_name: str = ""
    username: str = ""
    password: str = ""
    """Two-step verification password; the account has `two_factor` when there is one."""
    bot: bool = False
    virtual: bool = False
    """A person without a login of its own: no auth key is made."""
    user_id: int = 0
    auth_key: bytes = b""
    """256 bytes; an account can be made again with the key that it had."""
    hidden: bool = False
    """Forwards of its messages name it without a link to it."""
    api_id: int = 0
    """Goes into the session string; 12345 when 0."""


@dataclass(frozen=True, slots=True)
class Account:
    """An account and, when it has a login, its session material."""

    user_id: int
    phone: str
    first_name: str
    username: str
    two_factor: bool
    dc_id: int
    auth_key: bytes
    auth_key_id: str
    """16 hex digits; empty for virtual people."""
    pyrogram_session: str
    telethon_session: str
    dead: str
    """The error that its key answers with, if it is dead."""


class Control(ChatHandlers, MessageHandlers, RuleHandlers):
    """The control API over one data centre."""

    def create_account(self, wanted: NewAccount) -> Account:
        """Make an account with a login. Raises AlreadyExists, InvalidArgument."""
        if wanted.auth_key and len(wanted.auth_key) != _KEY_BYTES:
            raise InvalidArgument("An auth key is 256 bytes long.", field="auth_key")
        state = self._centre.state
        number = len(state.world.users)
        phone = "".join(filter(str.isdigit, wanted.phone)) or f"99966{number:05d}"
        if state.world.by_phone(phone):
            raise AlreadyExists("An account with this phone number exists.", reason="PHONE_TAKEN")
        user = User(
            user_id=wanted.user_id,
            phone=phone,
            first_name=wanted.first_name or f"Account {number}",
            last_name=wanted.last_name,
            username=wanted.username,
            bot=wanted.bot,
            password=wanted.password,
            hidden=wanted.hidden,
        )
        try:
            state.world.add_user(user)
        except ValueError as e:
            raise AlreadyExists(f"The account cannot be made: {e}.", reason="ACCOUNT_TAKEN") from e
        state.touch()
        if not wanted.virtual:
            self._log_in(user, wanted)
        return self.get_account(user.user_id)

    def add_login(self, user_id: int, api_id: int = 0) -> Account:
        """A second login of an account, with a key of its own. Raises NotFound."""
        user = self._user(user_id)
        key = self._log_in(user, NewAccount(api_id=api_id))
        return self._account(user, key)

    def get_account(self, user_id: int) -> Account:
        """An account with its latest login. Raises NotFound."""
        user = self._user(user_id)
        keys = self._centre.state.keys.of_user(user_id)
        return self._account(user, keys[-1] if keys else None)

    def list_accounts(self) -> list[Account]:
        """All that were made, in the order of their ids."""
        users = sorted(self._centre.state.world.users)
        return [self.get_account(user_id) for user_id in users]

    def add_contact(self, user_id: int, contact_id: int, *, mutual: bool = False) -> None:
        """Put one user into another's contacts. Raises NotFound."""
        user, contact = self._user(user_id), self._user(contact_id)
        user.contacts.add(contact_id)
        if mutual:
            contact.contacts.add(user_id)
        self._centre.state.touch()

    def set_fault(self, fault: Fault) -> Fault:
        """Put a fault in force at once; returns it with its id. Raises NotFound, InvalidArgument."""
        if fault.user_id:
            self._user(fault.user_id)
        if fault.kind is FaultKind.RPC_ERROR and not (fault.code and fault.error):
            raise InvalidArgument("An error needs its code and its name.", field="error")
        if fault.kind in {FaultKind.BAD_MSG, FaultKind.BAD_MSG_AFTER} and not fault.code:
            raise InvalidArgument("A bad_msg_notification needs its code.", field="code")
        if fault.kind is FaultKind.FLOOD_WAIT and fault.seconds <= 0:
            raise InvalidArgument("A flood wait needs its seconds.", field="seconds")
        placed = self._centre.state.faults.set(replace(fault))
        self._centre.state.touch()
        self._centre.scribe.note(
            RecordKind.FAULT_SET,
            user_id=placed.user_id,
            auth_key_id=placed.auth_key_id,
            connection_id=placed.connection_id,
            detail=f"{placed.kind.value} {','.join(placed.methods)}".strip(),
        )
        self._centre.apply_link_faults()
        return placed

    def clear_faults(self, *, user_id: int = 0, fault_id: int = 0) -> int:
        """Lift one fault, those of one account, or all; returns how many."""
        gone = self._centre.state.faults.clear(user_id=user_id, fault_id=fault_id)
        self._centre.state.touch()
        self._centre.scribe.note(RecordKind.FAULTS_CLEARED, user_id=user_id, detail=f"{len(gone)} lifted")
        self._centre.apply_link_faults()
        return len(gone)

    def drop_connections(self, *, user_id: int = 0, auth_key_id: str = "", connection_id: int = 0) -> int:
        """Cut live links of one account, key or connection, or all; returns how many."""
        state = self._centre.state
        cut = 0
        for link in list(state.links.values()):
            subject = state.subject(link)
            if (
                (not user_id or subject.user_id == user_id)
                and (not auth_key_id or subject.auth_key_id == auth_key_id)
                and (not connection_id or subject.connection_id == connection_id)
            ):
                link.close("dropped, as told")
                cut += 1
        return cut

    def kill_key(self, auth_key_id: str, reason: str = "AUTH_KEY_UNREGISTERED") -> None:
        """Make every further call of a key fail with `reason` (DEATHS); empty: forget the key.

        Raises NotFound, InvalidArgument.
        """
        key = self._centre.state.keys.named(auth_key_id)
        if key is None:
            raise NotFound(f"There is no auth key {auth_key_id}.", reason="KEY_NOT_FOUND")
        if reason and reason not in DEATHS:
            raise InvalidArgument(f"A key cannot die of {reason}.", field="reason")
        error = DEATHS.get(reason, TelegramError(404, "AUTH_KEY_FORGOTTEN"))
        self._centre.desk.kill(key, error, "told to")
        if not reason:
            self._centre.state.keys.forget(key)

    def get_journal(self, after: int = 0, limit: int = 0) -> list[Record]:
        """Records numbered above `after`, oldest first."""
        return self._centre.scribe.journal.since(after, limit)

    def judge(self, after: int = 0) -> judge.Verdict:
        """What the journal proves, from record `after` on."""
        return judge.judge(self.get_journal(after))

    def live_connections(self, user_id: int) -> list[int]:
        """Connection ids of an account that are open now."""
        state = self._centre.state
        return [i for i, dialogue in state.dialogues.items() if dialogue.key.user_id == user_id]

    def _log_in(self, user: User, wanted: NewAccount) -> AuthKey:
        secret = wanted.auth_key or token_bytes(256)
        key = AuthKey(secret, new_salt(), user_id=user.user_id, api_id=wanted.api_id or _API_ID)
        self._centre.state.touch()
        return self._centre.state.keys.add(key)

    def _account(self, user: User, key: AuthKey | None) -> Account:
        where = self._centre.state.endpoint
        secret = key.secret if key else b""
        key_id = key.key_id if key else ""
        login = Login(secret, user.user_id, key.api_id if key else 0, where.dc_id, where.host, where.port)
        return Account(
            user_id=user.user_id,
            phone=user.phone,
            first_name=user.first_name,
            username=user.username,
            two_factor=bool(user.password),
            dc_id=where.dc_id,
            auth_key=secret,
            auth_key_id=key_id,
            pyrogram_session=pyrogram_string(login) if key else "",
            telethon_session=telethon_string(login) if key else "",
            dead=key.dead.name if key and key.dead else "",
        )


def flood_wait(user_id: int, seconds: int, methods: Sequence[str] = ()) -> Fault:
    """A fault that hands out one flood wait."""
    return Fault(FaultKind.FLOOD_WAIT, user_id=user_id, seconds=seconds, methods=tuple(methods))
