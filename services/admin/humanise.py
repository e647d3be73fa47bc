"""Words for machine states: outcomes, reasons, states, times. Pure, and the only place that has them."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from tgfleet.gateway.v1 import account_pb2, fleet_pb2, result_pb2, token_pb2

OUTCOMES: Mapping[int, str] = {
    result_pb2.OUTCOME_STARTED: "started",
    result_pb2.OUTCOME_ALREADY_RUNNING: "already running",
    result_pb2.OUTCOME_STOPPED: "stopped",
    result_pb2.OUTCOME_ALREADY_STOPPED: "already stopped",
    result_pb2.OUTCOME_CHAT_STARTED: "chat started",
    result_pb2.OUTCOME_ALREADY_CHATTING: "already chatting",
    result_pb2.OUTCOME_CHAT_STOPPED: "chat stopped",
    result_pb2.OUTCOME_NOT_CHATTING: "not chatting",
    result_pb2.OUTCOME_NOT_RUNNING: "not running",
    result_pb2.OUTCOME_SKIPPED: "skipped",
    result_pb2.OUTCOME_WAITING: "waiting",
    result_pb2.OUTCOME_FAILED: "failed",
}

REASONS: Mapping[int, str] = {
    result_pb2.REASON_DISABLED: "it is disabled",
    result_pb2.REASON_NEEDS_LOGIN: "it needs a login",
    result_pb2.REASON_QUARANTINED: "it is set aside",
    result_pb2.REASON_SESSION_CONFLICT: "its session lies in two places",
    result_pb2.REASON_FLOOD_WAIT: "Telegram told it to wait",
    result_pb2.REASON_LEASE_HELD: "another worker holds its session",
    result_pb2.REASON_SETTLING: "its last connection is given time to end",
    result_pb2.REASON_HOME_WORKER_OFFLINE: "its home worker is not connected",
    result_pb2.REASON_NO_WORKER_CAPACITY: "no worker has room",
    result_pb2.REASON_STILL_STARTING: "it is still starting",
    result_pb2.REASON_SESSION_MISSING: "its session file is not on its home worker",
    result_pb2.REASON_SESSION_INVALID: "its session is no session",
    result_pb2.REASON_AUTH_KEY_UNREGISTERED: "Telegram does not know its login any more",
    result_pb2.REASON_AUTH_KEY_DUPLICATED: "another program used its session",
    result_pb2.REASON_SESSION_REVOKED: "its login was revoked",
    result_pb2.REASON_ACCOUNT_BANNED: "Telegram banned the account",
    result_pb2.REASON_ACCOUNT_FROZEN: "Telegram froze the account",
    result_pb2.REASON_CONNECT_TIMEOUT: "Telegram did not answer in time",
    result_pb2.REASON_PROXY_ERROR: "its proxy does not work",
    result_pb2.REASON_WORKER_LOST: "its worker went away",
    result_pb2.REASON_SECRET_UNREADABLE: "its session cannot be decrypted",
    result_pb2.REASON_INTERNAL: "a fault inside tgfleet",
}

SESSION_STATES: Mapping[int, str] = {
    fleet_pb2.SESSION_STATE_UNSPECIFIED: "not running",
    fleet_pb2.SESSION_STATE_STARTING: "starting",
    fleet_pb2.SESSION_STATE_RUNNING: "running",
    fleet_pb2.SESSION_STATE_RECONNECTING: "reconnecting",
    fleet_pb2.SESSION_STATE_STOPPING: "stopping",
    fleet_pb2.SESSION_STATE_STOPPED: "stopped",
    fleet_pb2.SESSION_STATE_FAILED: "failed",
}

WORKER_STATES: Mapping[int, str] = {
    fleet_pb2.WORKER_STATE_CONNECTED: "connected",
    fleet_pb2.WORKER_STATE_DRAINING: "draining",
    fleet_pb2.WORKER_STATE_OFFLINE: "offline",
}

LOCATIONS: Mapping[int, str] = {
    account_pb2.SESSION_LOCATION_NONE: "none",
    account_pb2.SESSION_LOCATION_VAULT: "vault",
    account_pb2.SESSION_LOCATION_WORKER_FILE: "worker file",
}

ROLES: Mapping[int, str] = {
    token_pb2.ROLE_VIEWER: "viewer",
    token_pb2.ROLE_OPERATOR: "operator",
    token_pb2.ROLE_ADMIN: "admin",
}

_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def word(words: Mapping[int, str], number: int) -> str:
    """The word for an enum value; its number when this command is older than the gateway."""
    return words.get(number, f"#{number}" if number else "")


def outcome_words(name: str) -> str:
    """The words for an outcome by its name without prefix, as FleetSummary has it."""
    number = dict(result_pb2.Outcome.items()).get(f"OUTCOME_{name}")
    return word(OUTCOMES, number) if number is not None else name.lower().replace("_", " ")


def printable(text: str) -> str:
    """The text with everything taken out that could move a cursor or colour a terminal: names and messages
    come from strangers. Line ends become spaces."""
    flat = " ".join(text.split())
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in flat)


def span(duration: timedelta | Duration) -> str:
    """A length of time in at most two units: `0.4 s`, `25 s`, `4 min 10 s`, `2 h`."""
    seconds = (duration if isinstance(duration, timedelta) else duration.ToTimedelta()).total_seconds()
    if seconds < 10:  # noqa: PLR2004 - below, tenths matter to a person
        return f"{max(seconds, 0):.1f} s"
    left, parts = round(seconds), []
    for size, unit in _UNITS:
        if left >= size:
            parts.append(f"{left // size} {unit}")
            left %= size
    return " ".join(parts[:2])


def moment(stamp: Timestamp, now: datetime) -> str:
    """A time of day here, with how far it is: `14:03:10 (in 25 s)`; with the date when it is not today's."""
    when = stamp.ToDatetime(tzinfo=UTC)
    here, today = when.astimezone(), now.astimezone().date()
    clock = f"{here:%H:%M:%S}" if here.date() == today else f"{here:%Y-%m-%d %H:%M}"
    distance = when - now
    return f"{clock} (in {span(distance)})" if distance > timedelta(0) else f"{clock} ({span(-distance)} ago)"


def count(number: int, thing: str) -> str:
    """`1 account`, `12 accounts`."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def labels_text(labels: Mapping[str, str]) -> str:
    """Labels as the command line takes them."""
    return ",".join(f"{key}={labels[key]}" for key in sorted(labels))
