"""Judges what went wrong with a link or a call, and nothing else: no sleeping, no library, no clock.

The table is TELEGRAM.md section 2. A verdict says what to tell people (`outcome`, `reason`, `detail`),
whether the same thing may be tried again by the worker itself (`transient`), and whether the session is dead
for good (`died`).
"""

from dataclasses import dataclass

from services.worker.domain.outcomes import Outcome, Reason
from services.worker.domain.telegram import LinkCause, LinkDown, Refused

_FLOOD, _SERVER_ERRORS, _SEE_OTHER = 420, 500, 303
SHORTEST_WAIT = 1.0
LONGEST_WAIT = 14 * 86400.0
WAIT_WITHOUT_NUMBER = 60.0
"""Seconds; TELEGRAM.md section 2: clamp every wait to 1 s .. 14 days, a flood error without a number counts
as 60 s."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A judgement on one failure."""

    outcome: Outcome
    reason: Reason
    detail: str
    transient: bool = False
    """Another attempt by this worker, after a pause, is right."""
    died: bool = False
    """The registry must learn that the session or account is dead, banned or frozen."""
    wait: float | None = None
    """Seconds that Telegram told the account to wait."""
    chat_only: bool = False
    """The wait counts for one chat only (slow mode)."""


def _dead(reason: Reason, detail: str) -> Verdict:
    return Verdict(Outcome.FAILED, reason, detail, died=True)


_UNREGISTERED = _dead(
    Reason.AUTH_KEY_UNREGISTERED, "Telegram does not know this session's auth key any more; log in again."
)
_REVOKED = _dead(Reason.SESSION_REVOKED, "This login was revoked or has expired; log in again.")
_BANNED = _dead(Reason.ACCOUNT_BANNED, "Telegram deleted or banned this account.")
_DUPLICATED = _dead(
    Reason.AUTH_KEY_DUPLICATED,
    "Another program used this session at the same time, and Telegram killed its key; log in again and make "
    "sure that nothing else uses the session.",
)
_FROZEN = _dead(Reason.ACCOUNT_FROZEN, "Telegram froze this account; it can only read.")
_UNFINISHED = Verdict(
    Outcome.SKIPPED,
    Reason.NEEDS_LOGIN,
    "The login of this session was never finished: it still wants the two-step verification password.",
)

_BY_NAME: dict[str, Verdict] = {
    "AUTH_KEY_UNREGISTERED": _UNREGISTERED,
    "AUTH_KEY_INVALID": _UNREGISTERED,
    "AUTH_KEY_PERM_EMPTY": _UNREGISTERED,
    "SESSION_REVOKED": _REVOKED,
    "SESSION_EXPIRED": _REVOKED,
    "SESSION_PASSWORD_NEEDED": _UNFINISHED,
    "USER_DEACTIVATED": _BANNED,
    "USER_DEACTIVATED_BAN": _BANNED,
    "AUTH_KEY_DUPLICATED": _DUPLICATED,
    "FROZEN_METHOD_INVALID": _FROZEN,
}

_WAITS = {"FLOOD_WAIT_X", "FLOOD_PREMIUM_WAIT_X", "FLOOD_TEST_PHONE_WAIT_X", "SLOWMODE_WAIT_X", "FLOOD_WAIT"}


def clamp_wait(seconds: float | None) -> float:
    """A wait as we take it, in seconds."""
    if seconds is None:
        return WAIT_WITHOUT_NUMBER
    return min(max(float(seconds), SHORTEST_WAIT), LONGEST_WAIT)


def of_wait(method: str, seconds: float, *, chat_only: bool = False) -> Verdict:
    """A wait that Telegram imposed, now or before."""
    return Verdict(
        Outcome.WAITING,
        Reason.FLOOD_WAIT,
        f"Telegram told this account to wait {seconds:.0f} s before {method}.",
        wait=seconds,
        chat_only=chat_only,
    )


def of_refusal(error: Refused) -> Verdict:
    """What Telegram's error answer means."""
    known = _BY_NAME.get(error.name)
    if known is not None:
        return known
    if error.name in _WAITS or (error.code == _FLOOD and error.name.endswith("_WAIT_X")):
        return of_wait(error.method, clamp_wait(error.seconds), chat_only=error.name == "SLOWMODE_WAIT_X")
    if error.code >= _SERVER_ERRORS or error.code < 0:
        return Verdict(
            Outcome.FAILED,
            Reason.CONNECT_TIMEOUT,
            f"The data centre answered {error.method} with its own error {error.code} {error.name}.",
            transient=True,
        )
    if error.code == _SEE_OTHER:
        return Verdict(
            Outcome.FAILED, Reason.SESSION_INVALID, "This session's account lives in another data centre."
        )
    return Verdict(
        Outcome.FAILED, Reason.INTERNAL, f"Telegram refused {error.method} with {error.code} {error.name}."
    )


_LINK_SENTENCES: dict[LinkCause, str] = {
    LinkCause.LINK_CLOSED: "The data centre closed the link.",
    LinkCause.PING_TIMEOUT: "The data centre no longer answers pings.",
    LinkCause.PROBE_FAILED: "The data centre no longer answers calls.",
    LinkCause.DEAF: "The client had stopped listening.",
    LinkCause.TRANSPORT_404: "The data centre says that it does not know the session's key.",
    LinkCause.TRANSPORT_429: "The data centre refuses more connections from this address for now.",
    LinkCause.TRANSPORT_ERROR: "The data centre answered with a transport error.",
    LinkCause.BAD_PACKET: "The data centre sent something that cannot be read.",
    LinkCause.DIAL_FAILED: "The data centre cannot be reached.",
    LinkCause.PROXY_FAILED: "The account's proxy does not work; it is never bypassed.",
    LinkCause.NO_ANSWER: "The data centre accepts connections and does not answer.",
    LinkCause.REFUSED: "The data centre refused the connection's first call.",
    LinkCause.FENCED: "The lease of this session could not be renewed in time.",
    LinkCause.ABORTED: "The worker cut the link, because nobody can tell whether a call took effect.",
    LinkCause.BAD_MESSAGE: "The data centre could not make sense of a packet.",
    LinkCause.STOPPED: "The session was stopped.",
}


def of_link(error: LinkDown) -> Verdict:
    """What a link that did not come up, or ended, means for a start."""
    if error.cause is LinkCause.NOT_ALLOWED:
        return Verdict(Outcome.FAILED, Reason.INTERNAL, error.detail)
    reason = Reason.PROXY_ERROR if error.cause is LinkCause.PROXY_FAILED else Reason.CONNECT_TIMEOUT
    return Verdict(Outcome.FAILED, reason, _LINK_SENTENCES[error.cause], transient=True)


def link_sentence(cause: LinkCause) -> str:
    """The cause as a sentence for a person."""
    return _LINK_SENTENCES.get(cause, str(cause))


KEY_UNKNOWN = _UNREGISTERED
"""The verdict after the transport said -404 twice in a row: once may be a hiccup of a data centre, and the
price of believing it too early is a login by hand."""
UNKNOWN_KEY_PROOFS = 2


def wrong_user(expected: int, found: int) -> Verdict:
    """Telegram answered for somebody else than the account."""
    return Verdict(
        Outcome.FAILED,
        Reason.SESSION_INVALID,
        f"This session belongs to Telegram user {found}, not to the account's user {expected}.",
    )
