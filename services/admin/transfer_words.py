"""Words for the machine states of transfers. Pure, and beside `humanise` the only place that has them."""

from collections.abc import Mapping

from services.admin.humanise import count
from tgfleet.gateway.v1 import transfer_pb2 as tr

STATES: Mapping[int, str] = {
    tr.TRANSFER_STATE_RUNNING: "sending",
    tr.TRANSFER_STATE_WAITING: "waiting",
    tr.TRANSFER_STATE_UNDECIDED: "needs a decision",
    tr.TRANSFER_STATE_PAUSING: "pausing",
    tr.TRANSFER_STATE_PAUSED: "paused",
    tr.TRANSFER_STATE_CANCELLING: "being cancelled",
    tr.TRANSFER_STATE_CANCELLED: "cancelled",
    tr.TRANSFER_STATE_COMPLETED: "completed",
    tr.TRANSFER_STATE_FAILED: "failed",
    tr.TRANSFER_STATE_FOLLOWING: "following",
}

STYLES: Mapping[int, str] = {
    tr.TRANSFER_STATE_RUNNING: "green",
    tr.TRANSFER_STATE_FOLLOWING: "green",
    tr.TRANSFER_STATE_COMPLETED: "green",
    tr.TRANSFER_STATE_WAITING: "yellow",
    tr.TRANSFER_STATE_PAUSING: "yellow",
    tr.TRANSFER_STATE_PAUSED: "yellow",
    tr.TRANSFER_STATE_CANCELLING: "yellow",
    tr.TRANSFER_STATE_UNDECIDED: "red",
    tr.TRANSFER_STATE_FAILED: "red",
    tr.TRANSFER_STATE_CANCELLED: "bright_black",
}

ENDED = frozenset({tr.TRANSFER_STATE_CANCELLED, tr.TRANSFER_STATE_COMPLETED, tr.TRANSFER_STATE_FAILED})
"""States that a transfer never leaves."""

_AT_WORK = frozenset(
    {
        tr.TRANSFER_STATE_RUNNING,
        tr.TRANSFER_STATE_FOLLOWING,
        tr.TRANSFER_STATE_PAUSING,
        tr.TRANSFER_STATE_CANCELLING,
    }
)

SENTENCES: Mapping[int, str] = {
    tr.TRANSFER_STATE_RUNNING: "Sending.",
    tr.TRANSFER_STATE_WAITING: "No account can go on now; it goes on by itself.",
    tr.TRANSFER_STATE_UNDECIDED: "Nobody can tell whether a batch was sent.",
    tr.TRANSFER_STATE_PAUSING: "Pausing; what is in flight is settled first.",
    tr.TRANSFER_STATE_PAUSED: "Paused.",
    tr.TRANSFER_STATE_CANCELLING: "Being cancelled; what is in flight is settled first.",
    tr.TRANSFER_STATE_CANCELLED: "Cancelled.",
    tr.TRANSFER_STATE_COMPLETED: "Completed.",
    tr.TRANSFER_STATE_FAILED: "Failed.",
    tr.TRANSFER_STATE_FOLLOWING: "Caught up; new messages follow as they come.",
}
"""What a state means, for a transfer that came without a sentence of its own."""

MEDIA: Mapping[str, int] = {
    name.removeprefix("MEDIA_KIND_").lower(): number for name, number in tr.MediaKind.items() if number
}
"""Kinds of media as the command line names them."""

MODES: Mapping[int, str] = {tr.TRANSFER_MODE_FORWARD: "forward", tr.TRANSFER_MODE_COPY: "copy"}

OBSTACLES: Mapping[str, str] = {
    "DISABLED": "It is disabled.",
    "NOT_RUNNING": "It does not run.",
    "FLOOD_WAIT": "Telegram told it to wait.",
    "SLOW_MODE": "The target is in slow mode.",
    "DAILY_CAP": "Its cap for the day is reached.",
    "OUTSIDE_HOURS": "It may not send at this hour.",
    "RESTING": "It rests, so that Telegram need not tell it to.",
    "CANNOT_READ": "It cannot read the source.",
    "CANNOT_POST": "It cannot post in the target.",
    "BUSY": "It works on something else.",
}
"""For obstacles that came without a sentence of their own."""

_SKIPPED: Mapping[str, str] = {
    "SERVICE": "service messages",
    "DELETED": "deleted",
    "MEDIA": "of other kinds",
    "NO_MATCH": "without a match",
}


def skipped_words(skipped: Mapping[str, int]) -> str:
    """`8 deleted, 3 service messages, 1 refused (MEDIA_EMPTY)`; the most first."""
    order = sorted(skipped.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(
        f"{number:,} {_SKIPPED.get(reason) or f'refused ({reason})'}" for reason, number in order
    )


def tally(transfer: tr.Transfer) -> str:
    """`430 messages moved, 12 skipped: 8 deleted, 4 service messages`."""
    moved = f"{count(transfer.done, 'message')} moved"
    passed = sum(transfer.skipped.values())
    return f"{moved}, {passed:,} skipped: {skipped_words(transfer.skipped)}" if passed else moved


def progress(transfer: tr.Transfer) -> tuple[int, int]:
    """Ids dealt with, and ids there are."""
    dealt = transfer.done + sum(transfer.skipped.values())
    return dealt, max(transfer.total, dealt)


def accounts_in_use(transfer: tr.Transfer) -> list[str]:
    """The names of the accounts that work on it now, each once. A part that waits keeps the account that it
    will go on with, if it can."""
    if transfer.state not in _AT_WORK:
        return []
    return list(dict.fromkeys(s.account_name or s.account_id for s in transfer.shards if s.account_id))


def chat_name(chat: tr.TransferChat, asked: str) -> str:
    """Its title, else what was asked for."""
    return chat.title or asked or str(chat.chat_id)


def sentence(transfer: tr.Transfer) -> str:
    """How it stands, in a sentence."""
    if transfer.detail:
        return transfer.detail
    if transfer.state == tr.TRANSFER_STATE_RUNNING and (names := accounts_in_use(transfer)):
        return f"Sending with {', '.join(names)}."
    return SENTENCES.get(transfer.state, "")
