"""What names, labels and numbers an operator may give to accounts. Pure checks; all raise BadValueError.

The limits are those of protos/tgfleet/gateway/v1/account.proto; those that the proto leaves open are set
here.
"""

import re
import zoneinfo
from collections.abc import Collection, Mapping
from functools import cache

from services.registry.domain.errors import BadValueError

ACCOUNT_ID = re.compile(r"acc_[a-z2-7]{12}")
AUTH_KEY_ID = re.compile(r"[0-9a-f]{16}")
WORKER_ID = re.compile(r"[a-z0-9-]{1,63}")
_LABEL = re.compile(r"[A-Za-z0-9_.-]{1,63}")

MAX_NAME = 64
MAX_LABELS = 64
MAX_PRIORITY = 1000
MAX_CHATS = 1000
"""Listed chats or users of one account's chat policy."""
MAX_REQUEST_ID = 128
MAX_DAILY_CAP = 1_000_000
MAX_HOURS = 24
"""Ranges of allowed hours of one account."""
_HOURS = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]")
_MAX_FILE_NAME = 200
_MAX_ID = 2**63 - 1
_MAX_API_ID = 2**31 - 1


def check_name(name: str, field: str = "name") -> str:
    """1 to 64 printable characters, no blank at the ends, and not of the form of an account id."""
    if not 1 <= len(name) <= MAX_NAME or not name.isprintable():
        raise BadValueError(field, f"A name has 1 to {MAX_NAME} printable characters.")
    if name != name.strip():
        raise BadValueError(field, "A name neither begins nor ends with a blank.")
    if ACCOUNT_ID.fullmatch(name):
        raise BadValueError(field, "A name must not look like an account id: ids and names are used alike.")
    return name


def check_labels(labels: Mapping[str, str], field: str = "labels") -> dict[str, str]:
    """At most 64; keys and values of 1 to 63 characters from letters, digits, `-`, `_` and `.`."""
    if len(labels) > MAX_LABELS:
        raise BadValueError(field, f"An account has at most {MAX_LABELS} labels.")
    for key, value in labels.items():
        if not _LABEL.fullmatch(key) or not _LABEL.fullmatch(value):
            raise BadValueError(
                field,
                "Keys and values of labels are 1 to 63 characters from letters, digits, -, _ and . (dot).",
            )
    return dict(labels)


def check_priority(priority: int, field: str = "priority") -> int:
    """-1,000 to 1,000."""
    if not -MAX_PRIORITY <= priority <= MAX_PRIORITY:
        raise BadValueError(field, f"A priority is a number from -{MAX_PRIORITY} to {MAX_PRIORITY}.")
    return priority


def check_time_zone(name: str, field: str = "time_zone") -> str:
    """An IANA name; empty means UTC."""
    if not name:
        return "UTC"
    if name not in _zones():
        raise BadValueError(field, "A time zone is an IANA name such as Europe/Berlin or UTC.")
    return name


@cache
def _zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones()) | {"UTC"}


def check_worker_id(worker_id: str, field: str, *, required: bool = False) -> str:
    """1 to 63 characters from lower-case letters, digits and `-`; empty only when not required."""
    if (not worker_id and not required) or WORKER_ID.fullmatch(worker_id):
        return worker_id
    raise BadValueError(field, "A worker's name is 1 to 63 characters from lower-case letters, digits and -.")


def check_file_name(name: str, field: str) -> str:
    """A file's bare name: no folder, nothing hidden."""
    if (
        not 1 <= len(name) <= _MAX_FILE_NAME
        or not name.isprintable()
        or name[0] == "."
        or "/" in name
        or "\\" in name
    ):
        raise BadValueError(field, "A session file is named without folder, as in alice.session.")
    return name


def check_api_id(api_id: int, field: str = "api_id") -> int:
    """0 for the fleet's own, or a positive number."""
    if not 0 <= api_id <= _MAX_API_ID:
        raise BadValueError(field, "An api id is a positive number; 0 means the fleet's own.")
    return api_id


def check_chat_ids(ids: Collection[int], field: str) -> tuple[int, ...]:
    """Marked ids of groups and supergroups: negative. Sorted, each once."""
    _check_count(ids, field)
    if any(not -_MAX_ID <= chat_id < 0 for chat_id in ids):
        raise BadValueError(field, "Groups and supergroups have negative ids (Telegram's marked ids).")
    return tuple(sorted(set(ids)))


def check_user_ids(ids: Collection[int], field: str) -> tuple[int, ...]:
    """Users' ids: positive. Sorted, each once."""
    _check_count(ids, field)
    if any(not 0 < user_id <= _MAX_ID for user_id in ids):
        raise BadValueError(field, "Users have positive ids.")
    return tuple(sorted(set(ids)))


def check_daily_cap(cap: int, field: str) -> int:
    """Messages in a day; 0 for no cap."""
    if not 0 <= cap <= MAX_DAILY_CAP:
        raise BadValueError(field, f"A daily cap is a number from 0 (none) to {MAX_DAILY_CAP:,}.")
    return cap


def check_hours(ranges: Collection[str], field: str) -> tuple[str, ...]:
    """Hours of the day as in `08:00-22:30`, over midnight as in `22:00-06:00`. In order, each once."""
    if len(ranges) > MAX_HOURS:
        raise BadValueError(field, f"At most {MAX_HOURS} ranges of hours can be given.")
    for index, text in enumerate(ranges):
        begin, _, end = text.partition("-")
        if not _HOURS.fullmatch(text) or begin == end:
            raise BadValueError(
                f"{field}[{index}]", "Hours are a range as in 08:00-22:30, from 00:00 to 23:59."
            )
    return tuple(sorted(set(ranges)))


def _check_count(ids: Collection[int], field: str) -> None:
    if len(ids) > MAX_CHATS:
        raise BadValueError(field, f"At most {MAX_CHATS} can be listed.")


def check_request_id(request_id: str, field: str = "request_id") -> str:
    """Empty, or up to 128 printable characters."""
    if len(request_id) > MAX_REQUEST_ID or not request_id.isprintable():
        raise BadValueError(field, f"A request id has at most {MAX_REQUEST_ID} printable characters.")
    return request_id
