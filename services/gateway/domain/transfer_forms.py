"""What a well-formed transfer looks like. Like `forms`, which it adds to: nothing is returned, `BadForm`
names the field."""

import re
from collections.abc import Collection, Mapping

from services.gateway.domain.chat_names import chat_key
from services.gateway.domain.forms import BadForm, check_number, check_selection

MAX_PARALLEL = 16
MAX_PER_HOUR = 1_000_000
MAX_MATCH = 1024
"""Characters of a regular expression."""
MAX_DAILY_CAP = 1_000_000
MAX_HOURS = 24
"""Ranges of allowed hours of one account."""
MAX_MESSAGE_ID = 2**31 - 1
_HOURS = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]")


def check_chats(source: str, target: str) -> None:
    """Two chats that are not the same one."""
    if chat_key("spec.source", source) == chat_key("spec.target", target):
        raise BadForm("spec.target", "Source and target are the same chat.")


def check_accounts(account_ids: Collection[str], match_labels: Mapping[str, str]) -> None:
    """Ids or labels, and one of the two: a transfer through all accounts must be asked for by name."""
    if not account_ids and not match_labels:
        raise BadForm("spec.account_ids", "Choose the accounts, by account_ids or by match_labels.")
    try:
        check_selection(account_ids, match_labels)
    except BadForm as error:
        raise BadForm(f"spec.{error.field}", error.sentence) from error


def check_ids(first: int, last: int) -> None:
    """A range of message ids, both ends included."""
    check_number("spec.ids.first", first, 1, MAX_MESSAGE_ID)
    check_number("spec.ids.last", last, 1, MAX_MESSAGE_ID)
    if last < first:
        raise BadForm("spec.ids", f"The range is reversed: {last:,} is before {first:,}.")


def check_dates(since: float | None, until: float | None) -> None:
    """A range of times, in seconds since 1970; None for an open end."""
    if since is not None and until is not None and until <= since:
        which = "empty" if until == since else "reversed"
        raise BadForm("spec.dates", f"The range is {which}: `until` must be later than `since`.")


def check_hours(field: str, ranges: Collection[str]) -> None:
    """`08:00-22:30`, over midnight too; a few of them."""
    if len(ranges) > MAX_HOURS:
        raise BadForm(field, f"Give at most {MAX_HOURS} ranges of hours.")
    for index, text in enumerate(ranges):
        if not _HOURS.fullmatch(text):
            raise BadForm(f"{field}[{index}]", "Write hours as 08:00-22:30, from 00:00 to 23:59.")
        begin, _, end = text.partition("-")
        if begin == end:
            raise BadForm(f"{field}[{index}]", "The range is empty; give none at all for the whole day.")
