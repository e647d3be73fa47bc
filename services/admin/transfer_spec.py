"""From the texts of `tgfleet transfer create` to a TransferSpec. Raises typer.BadParameter; what only the
fleet can judge is left to it."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import typer

from services.admin.transfer_words import MEDIA
from tgfleet.gateway.v1 import transfer_pb2

_IDS = re.compile(r"(\d+)(?:-(\d+))?")
_LARGEST = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The texts that say which messages; None for options that were not given."""

    ids: str | None = None
    since: str | None = None
    until: str | None = None
    last: int | None = None


def read_range(asked: Asked, spec: transfer_pb2.TransferSpec) -> None:
    """Puts the one range that was asked for into the spec."""
    dated = asked.since is not None or asked.until is not None
    if sum((asked.ids is not None, dated, asked.last is not None)) > 1:
        raise typer.BadParameter(
            "choose messages by --ids, by --since and --until, or by --last: one way only."
        )
    if asked.ids is not None:
        spec.ids.first, spec.ids.last = _read_ids(asked.ids)
    elif asked.last is not None:
        if not 1 <= asked.last <= _LARGEST:
            raise typer.BadParameter("give a number from 1 on.", param_hint="--last")
        spec.last = asked.last
    if asked.since is not None:
        spec.dates.since.FromDatetime(_read_date(asked.since, "--since"))
    if asked.until is not None:
        spec.dates.until.FromDatetime(_read_date(asked.until, "--until"))


def _read_ids(text: str) -> tuple[int, int]:
    found = _IDS.fullmatch(text.strip())
    if not found:
        raise typer.BadParameter("write ids as 100-250, or 100 for one message.", param_hint="--ids")
    first, last = int(found.group(1)), int(found.group(2) or found.group(1))
    if not 1 <= first <= last <= _LARGEST:
        raise typer.BadParameter(
            f"the range {text} is reversed." if last < first else f"ids go from 1 to {_LARGEST}.",
            param_hint="--ids",
        )
    return first, last


def _read_date(text: str, option: str) -> datetime:
    try:
        when = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise typer.BadParameter(
            "write a time as in 2026-11-20T08:00:00+01:00 or 2026-11-20T07:00Z.", param_hint=option
        ) from error
    if when.tzinfo is None:
        utc = f"{when.isoformat(timespec='minutes')}Z"
        raise typer.BadParameter(
            f"say in which zone: {utc} for UTC, or with an offset as in +01:00.", param_hint=option
        )
    return when


def read_media(texts: Iterable[str] | None) -> list[int]:
    """`photo,video`, also given several times."""
    kinds = list(dict.fromkeys(read_list(texts)))
    for kind in kinds:
        if kind.lower() not in MEDIA:
            raise typer.BadParameter(f"the kinds are {', '.join(MEDIA)}.", param_hint="--media")
    return [MEDIA[kind.lower()] for kind in kinds]


def read_list(texts: Iterable[str] | None) -> list[str]:
    """Parts between commas, of all texts."""
    return [part.strip() for text in texts or () for part in text.split(",") if part.strip()]


def check_selection(accounts: list[str], labels: Mapping[str, str]) -> None:
    """One of the two ways, as the gateway asks."""
    if bool(accounts) == bool(labels):
        raise typer.BadParameter(
            "choose the accounts by --label or by --accounts, not by both."
            if accounts
            else "choose the accounts that may do it: --accounts NAME[,NAME] or --label K=V."
        )
