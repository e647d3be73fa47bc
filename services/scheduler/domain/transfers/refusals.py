"""What Telegram's error means for a transfer (TELEGRAM.md section 2). Classifies only; what is done about it
is decided elsewhere, and so is whether it proves that nothing was sent.
"""

from enum import Enum

from services.scheduler.domain.transfers.orders import OrderRefused

FORWARD = "messages.forwardMessages"
HISTORY = "messages.getHistory"


_BAD_REQUEST, _UNAUTHORIZED, _NOT_ACCEPTABLE, _FLOOD, _SERVER_ERROR = 400, 401, 406, 420, 500


class Meaning(Enum):
    """What follows from an error."""

    WAIT = 1  # this account and method wait
    WAIT_CHAT = 2  # this account waits in that chat
    VERDICT = 3  # on the account: the whole transfer pauses until a person resumes it
    PROTECTED = 4  # the source may not be forwarded from
    CANNOT_POST = 5  # this account, for this transfer
    CANNOT_READ = 6  # this account, for this transfer
    ONE_BY_ONE = 7  # several at once are refused in slow mode
    DELIVERED = 8  # sent before
    CULPRIT = 9  # something in the batch
    UNKNOWN = 10  # it may have taken effect


NO_SUCH_CHAT = frozenset({"PEER_ID_INVALID", "CHAT_ID_INVALID", "CHAT_MIGRATED"})
"""What a basic group says that became a supergroup."""
_VERDICTS = frozenset({"PEER_FLOOD", "FROZEN_METHOD_INVALID", "FROZEN_PARTICIPANT_MISSING"})
_VERDICT_PREFIXES = ("USER_DEACTIVATED", "AUTH_KEY_", "SESSION_")
_NAMES = {
    "CHAT_FORWARDS_RESTRICTED": Meaning.PROTECTED,
    "CHAT_WRITE_FORBIDDEN": Meaning.CANNOT_POST,
    "CHAT_ADMIN_REQUIRED": Meaning.CANNOT_POST,
    "CHAT_RESTRICTED": Meaning.CANNOT_POST,
    "CHAT_SEND_PLAIN_FORBIDDEN": Meaning.CULPRIT,
    "USER_BANNED_IN_CHANNEL": Meaning.CANNOT_POST,
    "CHANNEL_PRIVATE": Meaning.CANNOT_READ,
    "CHANNEL_INVALID": Meaning.CANNOT_READ,
    "CHAT_ID_INVALID": Meaning.CANNOT_READ,
    "PEER_ID_INVALID": Meaning.CANNOT_READ,
    "SLOWMODE_MULTI_MSGS_DISABLED": Meaning.ONE_BY_ONE,
    "RANDOM_ID_DUPLICATE": Meaning.DELIVERED,
}


def meaning(refused: OrderRefused) -> Meaning:
    """What an error means as the answer to one transmission."""
    name = refused.name
    if name in _VERDICTS or (refused.code == _UNAUTHORIZED and name.startswith(_VERDICT_PREFIXES)):
        return Meaning.VERDICT
    if name.startswith("SLOWMODE_WAIT"):
        return Meaning.WAIT_CHAT
    if name in _NAMES:
        return _NAMES[name]
    if refused.code == _FLOOD:
        return Meaning.WAIT
    if refused.code in (_UNAUTHORIZED, _NOT_ACCEPTABLE):
        return Meaning.VERDICT
    if _BAD_REQUEST <= refused.code < _SERVER_ERROR:
        return Meaning.CULPRIT
    return Meaning.UNKNOWN


def reason(refused: OrderRefused) -> str:
    """The error's name without its number, as in `FLOOD_WAIT`."""
    return refused.name.removesuffix("_X")
