"""Whether a transfer can be done, by whom, and its first cut into shards, from what each candidate account
saw of both chats. Pure; reads nothing of the range itself.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

from services.scheduler.domain.transfers.orders import (
    ChatFacts,
    Inspected,
    OrderNotDone,
    OrderRefused,
    OrderUnknown,
)
from services.scheduler.domain.transfers.records import Candidate, Chat, Mode, TransferSpec
from services.scheduler.domain.transfers.state import SHARED_IDS

Inspection = Inspected | OrderRefused | OrderUnknown | OrderNotDone

MAX_PARALLEL = 16
_SERVICE_USER_ID = 777000
"""Telegram's own account, which writes login codes (DESIGN section 5)."""
NOT_FOUND = frozenset(
    {"USERNAME_NOT_OCCUPIED", "USERNAME_INVALID", "PEER_ID_INVALID", "CHAT_NOT_FOUND", "INVITE_HASH_EXPIRED"}
)


class RefusalKind(Enum):
    """Which kind of error a refusal is, by the names of the errors in services.runtime."""

    INVALID_ARGUMENT = 1
    NOT_FOUND = 2
    FAILED_PRECONDITION = 3
    UNAVAILABLE = 4


@dataclass(frozen=True, slots=True)
class PlanRefused:
    """Why there will be no such transfer. `field` as in `spec.target`, empty when none is to blame."""

    kind: RefusalKind
    reason: str
    field: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Cut:
    """A shard: ids from `first_id` to `last_id` (0: no end)."""

    first_id: int
    last_id: int


@dataclass(frozen=True, slots=True)
class Plan:
    """A transfer that can be done. `pinned` names the only account that may do it (a chat whose ids mean
    nothing to others), empty for none."""

    source: Chat
    target: Chat
    shards: tuple[Cut, ...]
    candidates: tuple[Candidate, ...]
    pinned: str = ""


@dataclass(frozen=True, slots=True)
class Following:
    """A following transfer that has not ended: its chats' ids."""

    source_id: int
    target_id: int


def check(spec: TransferSpec) -> PlanRefused | None:
    """What is wrong with a spec before anybody has looked at a chat; None when nothing is. Regular
    expressions are the gateway's matter."""
    for field, wrong, sentence in _CHECKS:
        if wrong(spec):
            return _invalid(field, sentence)
    return None


_CHECKS: Sequence[tuple[str, Callable[[TransferSpec], bool], str]] = (
    ("spec.source", lambda spec: not spec.source.strip(), "Name the chat to read."),
    ("spec.target", lambda spec: not spec.target.strip(), "Name the chat to write to."),
    (
        "spec.target",
        lambda spec: spec.source.strip().lower() == spec.target.strip().lower(),
        "Source and target are the same chat.",
    ),
    (
        "spec.ids",
        lambda spec: spec.range_kind == "ids" and spec.range_first < 1,
        "Message ids count from 1.",
    ),
    (
        "spec.ids",
        lambda spec: spec.range_kind == "ids" and spec.range_last < spec.range_first,
        "The last id is below the first.",
    ),
    (
        "spec.last",
        lambda spec: spec.range_kind == "last" and spec.range_last < 1,
        "The number of messages must be positive.",
    ),
    (
        "spec.dates",
        lambda spec: spec.range_kind == "dates" and 0 < spec.range_until <= spec.range_since,
        "`until` is not after `since`.",
    ),
    (
        "spec.parallel",
        lambda spec: not 1 <= spec.parallel <= MAX_PARALLEL,
        f"1 to {MAX_PARALLEL} shards can run at the same time.",
    ),
    ("spec.max_per_hour", lambda spec: spec.max_per_hour < 0, "A limit cannot be negative."),
    ("spec.topic_id", lambda spec: spec.topic_id < 0, "A topic's id cannot be negative."),
    (
        "spec.drop_captions",
        lambda spec: spec.drop_captions and spec.mode is not Mode.COPY,
        "Captions can only be dropped from copies.",
    ),
    (
        "spec.follow",
        lambda spec: spec.follow and bool(spec.range_until or (spec.range_kind == "ids")),
        "A transfer that follows has no end; leave the end of the range out.",
    ),
)


def plan(
    spec: TransferSpec,
    inspections: Mapping[str, Inspection],
    unchecked: Sequence[Candidate] = (),
    following: Sequence[Following] = (),
) -> Plan | PlanRefused:
    """`inspections` by account id, of every candidate that was running; `unchecked` are the others, with the
    reason why nobody could ask them (`NOT_CHECKED`, `NOT_RUNNING`, `DISABLED`)."""
    checked = [_candidate(one, found) for one, found in inspections.items()]
    seen = {one: found for one, found in inspections.items() if isinstance(found, Inspected)}
    refusal = _refusal(spec, seen, checked, following)
    if refusal is not None:
        return refusal
    account_id = next(one.account_id for one in checked if one.usable)
    found = seen[account_id]
    source, target = _chat(spec.source, found.source), _chat(spec.target, found.target)
    pinned = account_id if source.kind not in SHARED_IDS or target.kind not in SHARED_IDS else ""
    shards = _cuts(spec, found)
    if not shards:
        return _failed("EMPTY_RANGE", _range_field(spec), "There is no message in that range.")
    return Plan(source, target, shards, (*checked, *unchecked), pinned)


def _refusal(
    spec: TransferSpec,
    seen: Mapping[str, Inspected],
    checked: Sequence[Candidate],
    following: Sequence[Following],
) -> PlanRefused | None:
    """The first thing that stands against it, the most telling first."""
    if not seen:
        why = "; ".join(sorted({one.detail for one in checked})) or "none of the accounts is running"
        return PlanRefused(
            RefusalKind.UNAVAILABLE, "NO_ACCOUNT_RUNNING", "", f"No account could look at the chats: {why}"
        )
    for side, field, query in (
        ("source", "spec.source", spec.source),
        ("target", "spec.target", spec.target),
    ):
        facts = [getattr(found, side) for found in seen.values()]
        if all(not one.chat_id for one in facts) and all(one.error in NOT_FOUND for one in facts):
            return PlanRefused(
                RefusalKind.NOT_FOUND, "CHAT_NOT_FOUND", field, f"No account finds the chat {query}."
            )
    for found in seen.values():
        refusal = _against_chats(found, following, follow=spec.follow)
        if refusal is not None:
            return refusal
    if any(one.usable for one in checked):
        return None
    if not any(one.source.can_read for one in seen.values()):
        return _failed("NO_ACCOUNT_CAN_READ", "spec.source", f"No account can read {spec.source}.")
    return _failed(
        "NO_ACCOUNT_CAN_POST", "spec.target", f"No account can read and also post in {spec.target}."
    )


def _against_chats(found: Inspected, following: Sequence[Following], *, follow: bool) -> PlanRefused | None:
    source, target = found.source, found.target
    if source.chat_id and source.chat_id == target.chat_id:
        return _invalid("spec.target", "Source and target are the same chat.")
    if source.chat_id == _SERVICE_USER_ID:
        return _failed(
            "SERVICE_CHAT", "spec.source", "What Telegram itself writes (login codes) is not moved."
        )
    if target.kind == "user":
        return _failed("PRIVATE_TARGET", "spec.target", "Nothing is sent into private chats with people.")
    if source.protected:
        name = source.title or str(source.chat_id)
        return _failed("CHAT_PROTECTED", "spec.source", f"{name} forbids forwarding its messages.")
    if follow and _circle(source.chat_id, target.chat_id, following):
        return _failed(
            "TRANSFER_CIRCLE",
            "spec.target",
            "With other following transfers this would go round in a circle.",
        )
    return None


def _circle(source_id: int, target_id: int, following: Sequence[Following]) -> bool:
    """Whether what reaches the target comes back to the source."""
    reached, frontier = {target_id}, [target_id]
    while frontier:
        here = frontier.pop()
        for one in following:
            if one.source_id == here and one.target_id not in reached:
                reached.add(one.target_id)
                frontier.append(one.target_id)
    return source_id in reached


def _candidate(account_id: str, found: Inspection) -> Candidate:
    if isinstance(found, OrderRefused):
        return _unusable(account_id, found.name, f"Telegram says {found.name}.")
    if isinstance(found, OrderNotDone | OrderUnknown):
        return Candidate(
            account_id, usable=False, reason="NOT_RUNNING", detail=f"It did not answer ({found.cause})."
        )
    if not found.source.can_read:
        return Candidate(
            account_id, usable=False, reason="CANNOT_READ", detail=_why("read the source", found.source)
        )
    if not found.target.can_post:
        return Candidate(
            account_id, usable=False, reason="CANNOT_POST", detail=_why("post in the target", found.target)
        )
    slow = found.target.slow_mode_seconds
    return Candidate(account_id, usable=True, detail=f"Slow mode: one message in {slow} s." if slow else "")


def _unusable(account_id: str, reason: str, detail: str) -> Candidate:
    return Candidate(account_id, usable=False, reason=reason, detail=detail)


def _why(what: str, facts: ChatFacts) -> str:
    return f"It cannot {what} ({facts.error})." if facts.error else f"It cannot {what}."


def _chat(query: str, facts: ChatFacts) -> Chat:
    return Chat(query, facts.migrated_to_chat_id or facts.chat_id, facts.title, facts.kind)


def _cuts(spec: TransferSpec, found: Inspected) -> tuple[Cut, ...]:
    """`parallel` shards of about the same number of ids. A following transfer has one, without an end."""
    first, last = found.first_id, found.last_id
    if spec.follow:
        return (Cut(first or found.source.top_message_id + 1, 0),)
    if not first or last < first:
        return ()
    parts = min(spec.parallel, last - first + 1)
    edges = [first + (last - first + 1) * part // parts for part in range(parts + 1)]
    return tuple(Cut(begin, end - 1) for begin, end in pairwise(edges))


def _range_field(spec: TransferSpec) -> str:
    return f"spec.{spec.range_kind}" if spec.range_kind else "spec.source"


def _invalid(field: str, sentence: str) -> PlanRefused:
    return PlanRefused(RefusalKind.INVALID_ARGUMENT, "INVALID_TRANSFER", field, sentence)


def _failed(reason: str, field: str, sentence: str) -> PlanRefused:
    return PlanRefused(RefusalKind.FAILED_PRECONDITION, reason, field, sentence)
