"""What people read about transfers, in the language of operators: what is the matter, and what they can do.
Decides nothing.
"""

from services.scheduler.domain.transfers.records import TransferRecord

Words = tuple[str, str, str]
"""Reason, detail, action."""


def source_migrated(record: TransferRecord) -> Words:
    """The source became another chat."""
    return (
        "SOURCE_MIGRATED",
        f"{record.source.title or record.source.query} became a supergroup, with other ids for its messages.",
        "Create a new transfer from the supergroup for what is left.",
    )


def protected_source(record: TransferRecord) -> Words:
    """Forwarding out of the source is forbidden."""
    return (
        "CHAT_PROTECTED",
        f"{record.source.title or record.source.query} forbids forwarding its messages.",
        "Ask the chat's owner to allow saving content, and create the transfer again.",
    )


_VERDICTS = {
    "PEER_FLOOD": ("Telegram limits {name} because of spam reports.", "Let the account rest, then resume."),
    "FROZEN_METHOD_INVALID": (
        "Telegram has frozen {name}: it can only read.",
        "Appeal in the official app, or disable the account and resume.",
    ),
}


def verdict(reason: str, name: str) -> tuple[str, str]:
    """Telegram's word on an account: detail and action."""
    detail, action = _VERDICTS.get(
        reason,
        (
            f"Telegram does not let {{name}} go on ({reason}).",
            "Look into the account; disable it or log it in again, then resume.",
        ),
    )
    return f"{detail.format(name=name)} The whole transfer is paused.", action


def read_refused(reason: str) -> str:
    """An account cannot read the source."""
    return f"The account cannot read the source ({reason})."


def strict_stop(message_id: int, reason: str) -> tuple[str, str]:
    """A strict transfer met a message that Telegram refuses: detail and action."""
    return (
        f"Telegram refuses message {message_id} ({reason}), and the transfer is strict.",
        "Remove the message from the source and resume, or cancel and create it without strict.",
    )


def no_account_left() -> tuple[str, str]:
    """None of the accounts can read and post any more: detail and action."""
    return (
        "None of the accounts can both read the source and post in the target any more.",
        "Give an account access to both chats, then resume.",
    )


_FIRST = {
    "FLOOD_WAIT": "must wait, since Telegram says so",
    "SLOW_MODE": "waits for the target's slow mode",
    "RESTING": "rests before Telegram makes it wait",
    "DAILY_CAP": "has reached its cap for the day",
    "OUTSIDE_HOURS": "is outside its allowed hours",
    "BUSY": "is busy with another transfer",
}


def nobody(reason: str, detail: str) -> str:
    """Why no account can go on now. Without figures that grow old while people look at them: when it wakes is
    told beside it."""
    first = _FIRST.get(reason)
    return f"No account can go on now; the one that is free first {first}." if first else detail


def unsettled(count: int) -> str:
    """A transfer ended, or rests, with batches of which nobody knows."""
    many = "batches" if count > 1 else "batch"
    return f"Of {count} {many} nobody can tell whether they were sent; look into the target."


def undecided(name: str, why: str) -> str:
    """Why a batch is undecided."""
    return f"Nobody can tell whether {name} sent it: {why}."


UNDECIDED_ACTION = (
    "It goes on when the account comes back. Or look into the target and say "
    "`tgfleet transfer settle --sent` or `--not-sent`."
)
