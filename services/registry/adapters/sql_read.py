"""Every question to the database, as Core statements in batches. Knows no rules: those are in the domain."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select, and_, exists, func, or_, select

from services.registry.adapters import models as m
from services.registry.adapters.sql_among import among
from services.registry.adapters.sql_rows import (
    STARTABLE,
    account_from,
    entry_from,
    flags_from,
    flood_from,
    generation_from,
    sealed_from,
    secret_from,
    startable_from,
    token_from,
)
from services.registry.domain.account import NOT_BLOCKED, Account, AccountView, FloodWait, Startable
from services.registry.domain.audit import Entry, Place
from services.registry.domain.days import day_of
from services.registry.domain.facts import Death
from services.registry.domain.floods import active
from services.registry.domain.leasing import Generation
from services.registry.domain.tokens import Token
from services.registry.ports import (
    Changes,
    FleetFlags,
    ImportRecord,
    Order,
    Sealed,
    SealedSecret,
    Selection,
    Wishes,
)
from services.runtime.transaction import Transaction

T = TypeVar("T")

BATCH = 5000
"""Values in one statement, so that none takes long."""

_SESSION = and_(m.SECRETS.c.account_id == m.ACCOUNTS.c.account_id, m.SECRETS.c.purpose == "session")
_STARTABLES = select(
    *(m.ACCOUNTS.c[name] for name in STARTABLE), m.SECRETS.c.key_id, m.SECRETS.c.nonce, m.SECRETS.c.ciphertext
).select_from(m.ACCOUNTS.outerjoin(m.SECRETS, _SESSION))

_SLICE = 500
"""Accounts that are made from rows in one go, without a pause."""


def batches(values: Collection[T]) -> Iterator[list[T]]:
    """The values in lists short enough for one statement."""
    listed = list(values)
    for start in range(0, len(listed), BATCH):
        yield listed[start : start + BATCH]


class SqlRead:
    """Implements ports.Read on one open transaction."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    async def _rows(self, statement: Select[Any]) -> Sequence[Any]:
        result = await self._transaction.execute(statement)
        return list(result.all())

    async def _where_in(
        self, statement: Select[Any], column: ColumnElement[Any], values: Collection[Any]
    ) -> list[Any]:
        found: list[Any] = []
        for batch in batches(values):
            found.extend(await self._rows(statement.where(self._among(column, batch))))
        return found

    def _among(self, column: ColumnElement[Any], values: Collection[Any]) -> ColumnElement[bool]:
        return among(self._transaction.dialect_name, column, values)

    async def accounts(self, refs: Collection[str]) -> dict[str, Account]:
        """Accounts by id or name, keyed by what they were asked with; missing ones are left out."""
        distinct = set(refs)
        rows = await self._where_in(select(m.ACCOUNTS), m.ACCOUNTS.c.account_id, distinct)
        known = {row.account_id for row in rows}
        rows += await self._where_in(select(m.ACCOUNTS), m.ACCOUNTS.c.name, distinct - known)
        found = await self._with_labels({row.account_id: row for row in rows})
        by_name = {account.name: account for account in found.values()}
        return {ref: found.get(ref) or by_name[ref] for ref in refs if ref in found or ref in by_name}

    async def startables(self, account_ids: Collection[str]) -> dict[str, tuple[Startable, Sealed | None]]:
        """What acquiring needs of accounts, by id, each with its sealed session if there is one."""
        found: dict[str, tuple[Startable, Sealed | None]] = {}
        for batch in batches(account_ids):
            chosen = _STARTABLES.where(self._among(m.ACCOUNTS.c.account_id, batch))
            for row in await self._rows(chosen):
                found[row[0]] = startable_from(row)
        blocked = [i for i, (account, _) in found.items() if account.block is not NOT_BLOCKED]
        for account_id, account in (await self.accounts(blocked)).items():
            startable, sealed = found[account_id]
            found[account_id] = startable._replace(block=account.block), sealed
        return found

    async def views(self, account_ids: Sequence[str], now: datetime) -> dict[str, AccountView]:
        """Accounts by id, with running waits and today's counts."""
        rows = await self._where_in(select(m.ACCOUNTS), m.ACCOUNTS.c.account_id, set(account_ids))
        return await self._views(rows, now)

    async def page(
        self, selection: Selection, after: str, limit: int, now: datetime
    ) -> tuple[list[AccountView], str]:
        """Up to `limit` accounts ordered by name, after that name; and the last name when there are more,
        else ""."""
        if selection.refs:
            chosen = {o.account_id: o.name for o in (await self.orders(selection.refs)).values()}
            ids = sorted((i for i in chosen if chosen[i] > after), key=lambda i: chosen[i])[: limit + 1]
            rows = await self._where_in(select(m.ACCOUNTS), m.ACCOUNTS.c.account_id, ids)
            rows.sort(key=lambda row: row.name)
        else:
            statement = select(m.ACCOUNTS).where(m.ACCOUNTS.c.name > after, *_with_all(selection.labels))
            rows = list(await self._rows(statement.order_by(m.ACCOUNTS.c.name).limit(limit + 1)))
        shown = rows[:limit]
        views = await self._views(shown, now)
        return [views[row.account_id] for row in shown], shown[-1].name if len(rows) > limit else ""

    async def orders(self, refs: Collection[str]) -> dict[str, Order]:
        """Id, priority and name of accounts by id or name, keyed by what they were asked with."""
        columns = m.ACCOUNTS.c
        statement = select(columns.account_id, columns.priority, columns.name)
        distinct = set(refs)
        rows = await self._where_in(statement, columns.account_id, distinct)
        known = {row.account_id for row in rows}
        rows += await self._where_in(statement, columns.name, distinct - known)
        by_id = {row.account_id: Order(row.account_id, row.priority, row.name) for row in rows}
        by_name = {order.name: order for order in by_id.values()}
        return {ref: by_id.get(ref) or by_name[ref] for ref in distinct if ref in by_id or ref in by_name}

    async def select_ids(self, labels: Mapping[str, str]) -> list[str]:
        """Ids of all accounts with all these labels, by priority (high first), then name."""
        statement = select(m.ACCOUNTS.c.account_id).where(*_with_all(labels))
        rows = await self._rows(statement.order_by(m.ACCOUNTS.c.priority.desc(), m.ACCOUNTS.c.name))
        return [row.account_id for row in rows]

    async def taken(
        self, names: Collection[str], keys: Collection[str]
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Which of the names and auth key ids exist: name -> id, key -> name of its account."""
        columns = m.ACCOUNTS.c
        by_name = await self._where_in(select(columns.name, columns.account_id), columns.name, set(names))
        by_key = await self._where_in(
            select(columns.auth_key_id, columns.name), columns.auth_key_id, set(keys)
        )
        return {row.name: row.account_id for row in by_name}, {row.auth_key_id: row.name for row in by_key}

    async def users(self, user_ids: Collection[int]) -> dict[int, str]:
        """Which of Telegram's users are there, and the name of an account of each."""
        columns = m.ACCOUNTS.c
        rows = await self._where_in(select(columns.user_id, columns.name), columns.user_id, set(user_ids))
        return {row.user_id: row.name for row in rows}

    async def files_taken(self, files: Collection[tuple[str, str]]) -> dict[tuple[str, str], str]:
        """Which of the session files (worker, file name) belong to an account, and its name."""
        columns = m.ACCOUNTS.c
        statement = select(columns.home_worker, columns.session_file, columns.name)
        rows = await self._where_in(statement, columns.session_file, {name for _, name in files})
        owners = {(row.home_worker, row.session_file): row.name for row in rows}
        return {file: owners[file] for file in files if file in owners}

    async def secrets(self, account_ids: Collection[str], purpose: str) -> dict[str, Sealed]:
        """The ciphertexts of one purpose, by account."""
        statement = select(m.SECRETS).where(m.SECRETS.c.purpose == purpose)
        rows = await self._where_in(statement, m.SECRETS.c.account_id, set(account_ids))
        return {row.account_id: sealed_from(row) for row in rows}

    async def secrets_by_key(self) -> dict[str, int]:
        """How many secrets each master key seals."""
        key_id = m.SECRETS.c.key_id
        rows = await self._rows(select(key_id, func.count().label("secrets")).group_by(key_id))
        return {row.key_id: int(row.secrets) for row in rows}

    async def secrets_not_under(self, key_id: str, after: tuple[str, str], limit: int) -> list[SealedSecret]:
        """Up to `limit` secrets under other keys, ordered by account and purpose, after that place."""
        order = (m.SECRETS.c.account_id, m.SECRETS.c.purpose)
        statement = select(m.SECRETS).where(*_under_others(key_id, after)).order_by(*order).limit(limit)
        return [secret_from(row) for row in await self._rows(statement)]

    async def count_not_under(self, key_id: str, after: tuple[str, str]) -> int:
        """How many there are in all."""
        statement = select(func.count().label("secrets")).select_from(m.SECRETS)
        return int((await self._rows(statement.where(*_under_others(key_id, after))))[0].secrets)

    async def flood_waits(
        self, account_ids: Collection[str], now: datetime
    ) -> dict[str, tuple[FloodWait, ...]]:
        """Waits that still run, by account."""
        statement = select(m.FLOODS).where(m.FLOODS.c.until_time > now)
        waits: dict[str, list[FloodWait]] = defaultdict(list)
        for row in await self._where_in(statement, m.FLOODS.c.account_id, set(account_ids)):
            waits[row.account_id].append(flood_from(row))
        return {account_id: active(found, now) for account_id, found in waits.items()}

    async def changes(self, after: int, now: datetime) -> Changes:
        """Everything that changed after a revision; after -1, every account. Accounts of which only the
        wishes changed are in `wishes` alone.

        The revision is read first: what is committed in between (where the isolation level allows it) comes
        again later. Many accounts are read in slices, so that other calls get their turn in between.
        """
        flags = await self.flags()
        if flags.revision <= after:
            return Changes((), (), flags)
        changed = m.ACCOUNTS.c.revision > after
        rows = await self._rows(select(m.ACCOUNTS.c.account_id).where(changed))
        gone = await self._rows(select(m.TOMBSTONES.c.account_id).where(m.TOMBSTONES.c.revision > after))
        ids = [row.account_id for row in rows]
        views: list[AccountView] = []
        for start in range(0, len(ids), _SLICE):
            views.extend((await self.views(ids[start : start + _SLICE], now)).values())
        wishes = await self._wishes(after) if after >= 0 else ()
        return Changes(tuple(views), tuple(row.account_id for row in gone), flags, wishes)

    async def _wishes(self, after: int) -> tuple[Wishes, ...]:
        columns = m.ACCOUNTS.c
        rows = await self._rows(
            select(columns.wanted_running, columns.wanted_chatting, columns.account_id).where(
                columns.wish_revision > after, columns.revision <= after
            )
        )
        groups: dict[tuple[bool, bool], list[str]] = defaultdict(list)
        for running, chatting, account_id in rows:
            groups[running, chatting].append(account_id)
        return tuple(Wishes(*wish, tuple(ids)) for wish, ids in groups.items())

    async def flags(self) -> FleetFlags:
        """What counts for the whole fleet."""
        return flags_from((await self._rows(select(m.FLEET)))[0])

    async def generation(self) -> Generation | None:
        """The lease store's generation; None before the first one."""
        rows = await self._rows(select(m.GENERATION))
        return generation_from(rows[0]) if rows else None

    async def any_account(self) -> bool:
        """Whether there is any account."""
        return bool(await self._rows(select(m.ACCOUNTS.c.account_id).limit(1)))

    async def import_record(self, request_id: str) -> ImportRecord | None:
        """An earlier import."""
        rows = await self._rows(select(m.IMPORTS).where(m.IMPORTS.c.request_id == request_id))
        return ImportRecord(rows[0].fingerprint, rows[0].results) if rows else None

    async def token_by_hash(self, secret_hash: bytes) -> tuple[Token, bytes] | None:
        """The token with that hash, and the stored hash."""
        rows = await self._rows(select(m.TOKENS).where(m.TOKENS.c.secret_hash == secret_hash))
        return (token_from(rows[0]), rows[0].secret_hash) if rows else None

    async def tokens(self, after: str, limit: int) -> list[Token]:
        """Up to `limit` tokens ordered by name, after that name."""
        statement = select(m.TOKENS).where(m.TOKENS.c.name > after).order_by(m.TOKENS.c.name).limit(limit)
        return [token_from(row) for row in await self._rows(statement)]

    async def audit(self, after: Place | None, limit: int) -> list[Entry]:
        """Up to `limit` entries of the audit trail after that place, the newest first."""
        columns = m.AUDIT.c
        statement = select(m.AUDIT).order_by(columns.time.desc(), columns.entry_id.desc()).limit(limit)
        if after is not None:
            same = and_(columns.time == after.time, columns.entry_id < after.entry_id)
            statement = statement.where(or_(columns.time < after.time, same))
        return [entry_from(row) for row in await self._rows(statement)]

    async def deaths(self, reason: str, since: datetime) -> list[Death]:
        """Sessions that died of a reason since then."""
        statement = select(m.DEATHS).where(m.DEATHS.c.reason == reason, m.DEATHS.c.time >= since)
        return [Death(row.auth_key_id or row.account_id, row.time) for row in await self._rows(statement)]

    async def _views(self, rows: Sequence[Any], now: datetime) -> dict[str, AccountView]:
        accounts = await self._with_labels({row.account_id: row for row in rows})
        waits = await self.flood_waits(accounts.keys(), now)
        counts = await self._today(accounts, now)
        nothing = (0, 0)
        return {
            account_id: AccountView(account, waits.get(account_id, ()), *counts.get(account_id, nothing))
            for account_id, account in accounts.items()
        }

    async def _with_labels(self, rows: Mapping[str, Any]) -> dict[str, Account]:
        labels: dict[str, dict[str, str]] = defaultdict(dict)
        for row in await self._where_in(select(m.LABELS), m.LABELS.c.account_id, rows.keys()):
            labels[row.account_id][row.key] = row.value
        return {account_id: account_from(row, labels.get(account_id, {})) for account_id, row in rows.items()}

    async def _today(self, accounts: Mapping[str, Account], now: datetime) -> dict[str, tuple[int, int]]:
        """Messages received and answered in each account's own day."""
        days = {zone: day_of(now, zone) for zone in {a.time_zone for a in accounts.values()}}
        columns = m.CHAT_COUNTS.c
        statement = (
            select(
                columns.account_id,
                columns.day,
                func.sum(columns.received).label("received"),
                func.sum(columns.answered).label("answered"),
            )
            .where(columns.day.in_(set(days.values())))
            .group_by(columns.account_id, columns.day)
        )
        return {
            row.account_id: (int(row.received), int(row.answered))
            for row in await self._where_in(statement, columns.account_id, accounts.keys())
            if row.day == days[accounts[row.account_id].time_zone]
        }


def _under_others(key_id: str, after: tuple[str, str]) -> list[ColumnElement[bool]]:
    """Conditions on SECRETS: it lies after that place and under another key."""
    columns = m.SECRETS.c
    same = and_(columns.account_id == after[0], columns.purpose > after[1])
    return [columns.key_id != key_id, or_(columns.account_id > after[0], same)]


def _with_all(labels: Mapping[str, str]) -> list[ColumnElement[bool]]:
    """Conditions on ACCOUNTS: it has each of the labels."""
    owner = m.LABELS.c.account_id == m.ACCOUNTS.c.account_id
    return [
        exists().where(and_(owner, m.LABELS.c.key == key, m.LABELS.c.value == value))
        for key, value in labels.items()
    ]
