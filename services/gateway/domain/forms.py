"""What a well-formed request looks like, field by field. The owners check the meaning.

Every function returns nothing or raises `BadForm`, which names the field as the caller wrote it
(`account_ids[3]`)."""

import re
from collections.abc import Collection, Iterable, Mapping

MAX_SELECTED = 100_000
"""Accounts that one request may name."""
MAX_REQUEST_BYTES = 16 * 1024 * 1024
"""The largest request that is looked at."""
MAX_PAGE_TOKEN = 1024
MAX_NAME = 64
MAX_REFERENCE = 128
"""An id or a name; longer than both, so that a slightly wrong one gets NOT_FOUND from its owner."""
MAX_REQUEST_ID = 128
MAX_LABELS = 64
MAX_WAIT_SECONDS = 3600

_LABEL = re.compile(r"[A-Za-z0-9._-]{1,63}")
_WORKER_ID = re.compile(r"[a-z0-9-]{1,63}")
_NANOS = 1_000_000_000
_YEAR_9999 = 253_402_300_799  # its last second


class BadForm(ValueError):  # noqa: N818 - read as "raises BadForm"
    """A field that cannot be right whatever the fleet looks like."""

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__(f"{field}: {sentence}")
        self.field = field
        self.sentence = sentence


def check_selection(account_ids: Collection[str], match_labels: Mapping[str, str]) -> None:
    """Ids or labels or neither, never both."""
    if account_ids and match_labels:
        raise BadForm("account_ids", "Select by account_ids or by match_labels, not by both.")
    if len(account_ids) > MAX_SELECTED:
        raise BadForm("account_ids", f"Name at most {MAX_SELECTED:,} accounts in one call.")
    for index, account in enumerate(account_ids):
        check_reference(f"account_ids[{index}]", account)
    check_labels("match_labels", match_labels)


def check_reference(field: str, text: str) -> None:
    """An id or a name of something."""
    if not text:
        raise BadForm(field, "Name one; it must not be empty.")
    _check_text(field, text, MAX_REFERENCE)


def check_name(field: str, text: str) -> None:
    """A name that the operator gives: 1 to 64 printable characters."""
    if not text.strip():
        raise BadForm(field, f"Give a name of 1 to {MAX_NAME} printable characters.")
    _check_text(field, text, MAX_NAME)


def check_labels(field: str, labels: Mapping[str, str]) -> None:
    """Keys and values of 1 to 63 letters, digits, `-`, `_` and `.`."""
    if len(labels) > MAX_LABELS:
        raise BadForm(field, f"Use at most {MAX_LABELS} labels.")
    for key, value in labels.items():
        if not (_LABEL.fullmatch(key) and _LABEL.fullmatch(value)):
            raise BadForm(
                field, "Label keys and values have 1 to 63 characters from letters, digits, `-`, `_` and `.`."
            )


def check_request_id(text: str) -> None:
    """Empty, or up to 128 printable characters."""
    _check_text("request_id", text, MAX_REQUEST_ID)


def check_page(page_size: int, page_token: str, largest: int) -> None:
    """0 for the default, or 1 to `largest`."""
    if not 0 <= page_size <= largest:
        raise BadForm("page_size", f"Use 1 to {largest:,}, or 0 for the default.")
    _check_text("page_token", page_token, MAX_PAGE_TOKEN)


def check_duration(field: str, seconds: int, nanos: int) -> None:
    """Not negative and at most an hour."""
    if seconds < 0 or not 0 <= nanos < _NANOS:
        raise BadForm(field, "Use a duration that is not negative.")
    if seconds + nanos / _NANOS > MAX_WAIT_SECONDS:
        raise BadForm(field, "Use at most 1 h.")


def check_timestamp(field: str, seconds: int, nanos: int) -> None:
    """A time from 1970 to 9999, as google.protobuf.Timestamp allows, without the years before 1970."""
    if not (0 <= seconds <= _YEAR_9999 and 0 <= nanos < _NANOS):
        raise BadForm(field, "Use a time from 1970 to 9999.")


def check_worker_id(field: str, text: str) -> None:
    """1 to 63 lower-case letters, digits and `-`."""
    if not _WORKER_ID.fullmatch(text):
        raise BadForm(field, "A worker is named by 1 to 63 lower-case letters, digits and `-`.")


def check_enum(field: str, number: int, names: Mapping[int, str]) -> None:
    """One of the values that the contract names, and not the unspecified one."""
    if number == 0 or number not in names:
        known = ", ".join(name for value, name in sorted(names.items()) if value)
        raise BadForm(field, f"Use one of {known}.")


def check_number(field: str, value: int, smallest: int, largest: int) -> None:
    """A whole number within bounds, both included."""
    if not smallest <= value <= largest:
        raise BadForm(field, f"Use a number from {smallest:,} to {largest:,}.")


def check_text(field: str, text: str, longest: int) -> None:
    """Printable text of a bounded length; may be empty."""
    _check_text(field, text, longest)


def check_mask(paths: Iterable[str], known: Collection[str]) -> None:
    """A field mask that names something, and only what can be changed."""
    named = list(paths)
    if not named:
        raise BadForm("update_mask", "Name the fields to change.")
    for path in named:
        if path not in known:
            shown = f"`{path}`" if path.isprintable() and len(path) <= MAX_NAME else "One of them"
            raise BadForm("update_mask", f"{shown} cannot be changed; use {', '.join(known)}.")


def _check_text(field: str, text: str, longest: int) -> None:
    if len(text) > longest:
        raise BadForm(field, f"Use at most {longest} characters.")
    if not text.isprintable():
        raise BadForm(field, "Use printable characters only.")
