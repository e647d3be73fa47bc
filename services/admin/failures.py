"""Every failure as a sentence, what to do about it, and an exit code. Pure; prints nothing."""

from dataclasses import dataclass

from services.runtime.errors import (
    DeadlineExceeded,
    InvalidArgument,
    PermissionDenied,
    SettingsError,
    TgfleetError,
    Unauthenticated,
    Unavailable,
    Unimplemented,
)

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_WAITING = 3
EXIT_INTERRUPTED = 130

_ADVICE_BY_REASON = {
    "TOKEN_MISSING": "Set TGFLEET_TOKEN_FILE to a file that holds a token.",
    "TOKEN_INVALID": "Check TGFLEET_TOKEN or TGFLEET_TOKEN_FILE, or ask an administrator for a new token.",
    "TOKEN_EXPIRED": "Ask an administrator for a new token: `tgfleet tokens create`.",
    "ACCOUNT_NOT_FOUND": "`tgfleet accounts list` shows all names.",
    "NO_ACCOUNT_SELECTED": "`tgfleet accounts list` shows all accounts and their labels.",
    "TRANSFER_NOT_FOUND": "`tgfleet transfer list` shows all transfers.",
    "TRANSFER_ENDED": "Create another one for what is left.",
    "NO_ACCOUNT_RUNNING": "Start one: `tgfleet start-all NAME`.",
    "NO_ACCOUNT_CAN_READ": "Let one of the accounts join the source.",
    "NO_ACCOUNT_CAN_POST": "Let one of the accounts join the target, with the right to post.",
    "BATCH_NOT_UNDECIDED": "`tgfleet transfer show` lists what needs a decision.",
    "WORKER_NOT_FOUND": "`tgfleet workers list` shows all workers.",
    "TOKEN_NOT_FOUND": "`tgfleet tokens list` shows all tokens.",
    "ACCOUNT_RUNNING": "Stop it first: `tgfleet stop-all NAME`.",
    "NAME_TAKEN": "Choose another name.",
    "SCHEDULER_UNAVAILABLE": "Look at it again in a moment; a scheduler may just be taking over.",
    "NOT_LEADER": "Look at it again in a moment; a scheduler may just be taking over.",
}


class WrongUsageError(TgfleetError):
    """The command line, or what it names, cannot be used; found out by the command itself."""

    code = "INVALID_ARGUMENT"
    default_reason = "WRONG_USAGE"


@dataclass(frozen=True, slots=True)
class Failure:
    """What to tell a person. `advice` may be empty."""

    sentence: str
    advice: str
    exit_code: int


def explain(error: TgfleetError, gateway: str = "") -> Failure:
    """The failure that an error means to the person at the terminal."""
    if isinstance(error, SettingsError | WrongUsageError):
        return Failure(error.message, "", EXIT_USAGE)
    if isinstance(error, Unavailable) and error.reason == Unavailable.default_reason:
        return Failure(
            f"Nothing answers at {gateway or 'the gateway'}.",
            "Is the fleet running? `tgfleet up` starts one on this machine; TGFLEET_GATEWAY names another.",
            EXIT_FAILED,
        )
    if isinstance(error, DeadlineExceeded):
        return Failure(
            "There was no answer in the time allowed; whether it took effect is not known.",
            "Look at `tgfleet status`, then try again.",
            EXIT_FAILED,
        )
    if isinstance(error, Unimplemented):
        return Failure(
            "The gateway does not know this call.", "It may be older than this command.", EXIT_FAILED
        )
    if isinstance(error, InvalidArgument):
        field = "" if error.field in {None, "", "request"} else f"{error.field}: "
        return Failure(f"{field}{error.message}", "", EXIT_USAGE)
    advice = _ADVICE_BY_REASON.get(error.reason, "")
    if isinstance(error, PermissionDenied | Unauthenticated) and not advice:
        advice = "Use the token of somebody who may."
    return Failure(error.message, advice, EXIT_FAILED)
