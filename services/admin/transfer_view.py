"""How transfers look at rest: a table of many, a page of one, and what `create` says."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from services.admin.humanise import count, labels_text, moment, printable, span, word
from services.admin.screen import cell, table
from services.admin.transfer_words import (
    ENDED,
    MEDIA,
    MODES,
    STATES,
    STYLES,
    accounts_in_use,
    chat_name,
    progress,
    sentence,
    skipped_words,
    tally,
)
from tgfleet.gateway.v1 import transfer_pb2 as tr

_UNCHECKED = "NOT_CHECKED"
"""Of a candidate that will be checked when it is started."""
_MEDIA_NAMES = {number: name for name, number in MEDIA.items()}


def transfer_table(transfers: Sequence[tr.Transfer], now: datetime) -> Table:
    """One row each."""
    rows = table("Transfer", "From → to", "State", "Moved", "Skipped", "Next", right=("Moved", "Skipped"))
    rows.columns[0].no_wrap = True  # an id in two lines cannot be copied
    for transfer in transfers:
        rows.add_row(
            cell(transfer.transfer_id, "bold"),
            cell(route(transfer)),
            cell(word(STATES, transfer.state), STYLES.get(transfer.state, "")),
            f"{transfer.done:,}" + _share(transfer),
            f"{sum(transfer.skipped.values()):,}",
            cell(_next(transfer, now)),
        )
    return rows


def transfer_view(transfer: tr.Transfer, now: datetime) -> RenderableType:
    """Everything about one transfer."""
    page = Table.grid(padding=(0, 2))
    page.add_column(style="bright_black")
    page.add_column(overflow="fold")
    for title, text in _facts(transfer, now):
        if text:
            page.add_row(title, cell(text, "bold" if title == "Transfer" else ""))
    parts: list[RenderableType] = [page]
    if transfer.shards:
        parts += [Text(), _shards(transfer.shards)]
    if transfer.undecided:
        parts += [Text("\nNeeds a decision", style="bold red"), *_undecided(transfer)]
    if transfer.refused:
        parts += [Text("\nRefused by Telegram", style="bold"), _refused(transfer.refused)]
    unusable = [found for found in transfer.candidates if not (found.usable or found.reason == _UNCHECKED)]
    if unusable:
        parts += [Text("\nAccounts that do not take part", style="bold"), *_candidates(unusable)]
    return Group(*parts)


def created_view(transfer: tr.Transfer) -> RenderableType:
    """What `create` says of the new transfer."""
    usable = sum(1 for found in transfer.candidates if found.usable)
    head = Text.assemble(
        (transfer.transfer_id, "bold"), f" moves {_whole(transfer)}: {printable(route(transfer))}"
    )
    later = sum(1 for found in transfer.candidates if found.reason == _UNCHECKED)
    more = f" and {later:,} more when needed" if later else ""
    head.append(f", with {count(usable, 'account')}{more}.")
    unusable = [found for found in transfer.candidates if not found.usable]
    return Group(head, *_candidates(unusable))


def route(transfer: tr.Transfer) -> str:
    """`News → Archive`."""
    spec = transfer.spec
    return f"{chat_name(transfer.source, spec.source)} → {chat_name(transfer.target, spec.target)}"


def _whole(transfer: tr.Transfer) -> str:
    if not transfer.total:
        return "new messages"
    more = " and all new ones" if transfer.spec.follow else ""
    return f"up to {count(transfer.total, 'message')}{more}"


def _share(transfer: tr.Transfer) -> str:
    dealt, there = progress(transfer)
    if transfer.state in ENDED or not there or transfer.spec.follow:
        return ""
    return f" ({100 * dealt // there} %)"


def _next(transfer: tr.Transfer, now: datetime) -> str:
    if transfer.HasField("next_wake_time") and transfer.state not in ENDED:
        return f"in {span(transfer.next_wake_time.ToDatetime(tzinfo=UTC) - now)}"
    return ", ".join(accounts_in_use(transfer))


def _facts(transfer: tr.Transfer, now: datetime) -> list[tuple[str, str]]:
    dealt, there = progress(transfer)
    wakes = transfer.HasField("next_wake_time") and transfer.state not in ENDED
    return [
        ("Transfer", transfer.transfer_id),
        ("From", _chat(transfer.source, transfer.spec.source)),
        ("To", _chat(transfer.target, transfer.spec.target)),
        ("State", word(STATES, transfer.state)),
        ("Why", sentence(transfer) if transfer.detail else ""),
        ("What to do", transfer.action),
        ("Goes on", moment(transfer.next_wake_time, now) if wakes else ""),
        ("Dealt with", f"{dealt:,} of {there:,} ids"),
        ("Moved", f"{transfer.done:,}"),
        ("Skipped", skipped_words(transfer.skipped)),
        ("Rate", _rate(transfer)),
        ("Accounts now", ", ".join(accounts_in_use(transfer))),
        *_spec_facts(transfer.spec, {found.account_id: found.name for found in transfer.candidates}),
        ("Created", moment(transfer.create_time, now) if transfer.HasField("create_time") else ""),
        ("Ended", moment(transfer.end_time, now) if transfer.HasField("end_time") else ""),
        ("Took", _took(transfer)),
    ]


def _rate(transfer: tr.Transfer) -> str:
    moves = transfer.state == tr.TRANSFER_STATE_RUNNING and transfer.rate
    return f"{transfer.rate:,.0f} messages a minute" if moves else ""


def _spec_facts(spec: tr.TransferSpec, names: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    yield "Messages", _range(spec)
    yield "How", ", ".join(_manner(spec))
    yield "Only kinds", ", ".join(_MEDIA_NAMES.get(kind, f"#{kind}") for kind in spec.media)
    yield "Only matching", spec.match
    yield "Chosen accounts", _chosen(spec, names)
    yield "At most an hour", f"{spec.max_per_hour:,}" if spec.max_per_hour else ""


def _chosen(spec: tr.TransferSpec, names: Mapping[str, str]) -> str:
    return labels_text(spec.match_labels) or ", ".join(names.get(ref) or ref for ref in spec.account_ids)


def _range(spec: tr.TransferSpec) -> str:
    kind = spec.WhichOneof("range")
    if kind == "ids":
        return f"ids {spec.ids.first}-{spec.ids.last}"
    if kind == "last":
        return f"the newest {spec.last:,}"
    if kind == "dates":
        since = f"from {spec.dates.since.ToJsonString()}" if spec.dates.HasField("since") else ""
        until = f"before {spec.dates.until.ToJsonString()}" if spec.dates.HasField("until") else ""
        return " ".join(part for part in (since, until) if part)
    return "all"


def _manner(spec: tr.TransferSpec) -> Iterator[str]:
    yield word(MODES, spec.mode) or "forward"
    if spec.parallel > 1:
        yield f"{spec.parallel} parts at once, order given up"
    if spec.topic_id:
        yield f"into topic {spec.topic_id}"
    for chosen, words in (
        (spec.silent, "silent"),
        (spec.drop_captions, "without captions"),
        (spec.strict, "strict"),
        (spec.follow, "following"),
        (spec.only_running, "only with accounts that run anyway"),
    ):
        if chosen:
            yield words


def _chat(chat: tr.TransferChat, asked: str) -> str:
    known = f" ({chat.kind} {chat.chat_id})" if chat.chat_id else ""
    return f"{chat_name(chat, asked)}{known}"


def _took(transfer: tr.Transfer) -> str:
    if not (transfer.HasField("end_time") and transfer.HasField("create_time")):
        return ""
    return span(transfer.end_time.ToDatetime(tzinfo=UTC) - transfer.create_time.ToDatetime(tzinfo=UTC))


def _shards(shards: Sequence[tr.TransferShard]) -> Table:
    rows = table("Part", "Ids", "Done up to", "Account", "Remark", right=("Part", "Done up to"))
    for shard in shards:
        rows.add_row(
            str(shard.shard),
            f"{shard.first_id}-{shard.last_id or ''}",
            str(shard.checkpoint_id),
            cell(shard.account_name or shard.account_id),
            cell(shard.detail),
        )
    return rows


def _undecided(transfer: tr.Transfer) -> Iterator[RenderableType]:
    for batch in transfer.undecided:
        ids = batch.message_ids
        which = f"ids {ids[0]} to {ids[-1]}" if ids else "no ids"
        head = f"Part {batch.shard}, batch {batch.batch}: {count(len(ids), 'message')}, {which}."
        command = (
            f"→ Look into the target, then: tgfleet transfer settle {transfer.transfer_id} "
            f"--shard {batch.shard} --batch {batch.batch} --sent (or --not-sent)"
        )
        yield Padding(Text(printable(f"{head} {batch.detail}")), (0, 0, 0, 2), expand=False)
        yield Padding(Text(printable(command), style="cyan"), (0, 0, 0, 4), expand=False)


def _refused(refused: Sequence[tr.SkippedMessage]) -> Table:
    rows = table("Message", "Telegram says", right=("Message",))
    for message in refused:
        rows.add_row(str(message.message_id), cell(message.reason))
    return rows


def _candidates(found: Sequence[tr.TransferCandidate]) -> Iterator[RenderableType]:
    for candidate in found:
        name, why = candidate.name or candidate.account_id, candidate.detail or candidate.reason
        line = Text("– ", style="bright_black")
        if not why.startswith(name):
            line.append(f"{printable(name)}: ", style="bold")
        line.append(printable(why), style="default")
        yield Padding(line, (0, 0, 0, 2), expand=False)


def closing_sentence(transfer: tr.Transfer) -> str:
    """How it ended: `Completed: 988 messages moved, 12 skipped: 12 deleted; it took 1 min 3 s.`"""
    took = f"; it took {_took(transfer)}" if _took(transfer) else ""
    return f"{word(STATES, transfer.state).capitalize()}: {tally(transfer)}{took}."
