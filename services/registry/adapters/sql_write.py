"""Every change of the database, as Core statements in batches. Knows no rules: those are in the domain."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import and_, bindparam, case, delete, func, insert, not_, or_, select, update

from services.registry.adapters import models as m
from services.registry.adapters.sql_read import SqlRead, batches
from services.registry.adapters.sql_rows import (
    account_values,
    entry_values,
    generation_values,
    milliseconds,
    token_from,
)
from services.registry.domain.account import Account, FloodWait, Reason
from services.registry.domain.audit import Entry
from services.registry.domain.facts import ChatCounts, Fact, LinkLost
from services.registry.domain.leasing import Generation, StoreView
from services.registry.domain.tokens import Role, Token
from services.registry.ports import ImportRecord, Sealed, SealedSecret

_KEEP_FACT_IDS = timedelta(days=7)
_KEEP_HISTORY = timedelta(days=30)
_KEEP_IMPORTS = timedelta(days=7)
_KEEP_TOMBSTONES = timedelta(days=30)
_ONLY_ROW = 1


class SqlWrite(SqlRead):
    """Implements ports.Write on one open transaction."""

    async def _run(self, statement: Any, parameters: Any = None) -> int:
        """Rows affected. An empty list of parameters does nothing."""
        if parameters is not None and not parameters:
            return 0
        result = await self._transaction.execute(statement, parameters)
        return int(result.rowcount)

    async def next_revision(self) -> int:
        """Raises the accounts' revision; concurrent writers wait for each other here."""
        statement = update(m.FLEET).values(revision=m.FLEET.c.revision + 1).returning(m.FLEET.c.revision)
        return int((await self._transaction.execute(statement)).scalar_one())

    async def insert_accounts(self, new: Sequence[tuple[Account, Mapping[str, Sealed]]]) -> None:
        """New accounts with their labels and their secrets by purpose."""
        await self._run(insert(m.ACCOUNTS), [account_values(account) for account, _ in new])
        labels = [_label(a.account_id, k, v) for a, _ in new for k, v in a.labels.items()]
        await self._run(insert(m.LABELS), labels)
        secrets = [_secret(a.account_id, purpose, s) for a, sealed in new for purpose, s in sealed.items()]
        await self._run(insert(m.SECRETS), secrets)

    async def save_accounts(self, accounts: Sequence[Account]) -> None:
        """Writes all columns but labels of accounts that exist."""
        rows = [
            {"key_" if k == "account_id" else k: v for k, v in account_values(a).items()} for a in accounts
        ]
        await self._run(update(m.ACCOUNTS).where(m.ACCOUNTS.c.account_id == bindparam("key_")), rows)

    async def save_labels(self, account_id: str, labels: Mapping[str, str]) -> None:
        """Replaces an account's labels."""
        await self._run(delete(m.LABELS).where(m.LABELS.c.account_id == account_id))
        await self._run(insert(m.LABELS), [_label(account_id, k, v) for k, v in labels.items()])

    async def save_secret(self, account_id: str, purpose: str, sealed: Sealed | None) -> None:
        """Replaces or (None) removes one secret."""
        mine = and_(m.SECRETS.c.account_id == account_id, m.SECRETS.c.purpose == purpose)
        await self._run(delete(m.SECRETS).where(mine))
        if sealed is not None:
            await self._run(insert(m.SECRETS), [_secret(account_id, purpose, sealed)])

    async def replace_secrets(self, changes: Sequence[tuple[SealedSecret, SealedSecret]]) -> int:
        """Replaces each secret that is still as it was (the first of the pair); how many were."""
        columns = m.SECRETS.c
        replaced = 0
        for old, new in changes:
            same = and_(
                columns.account_id == old.account_id,
                columns.purpose == old.purpose,
                columns.nonce == old.sealed.nonce,
            )
            replaced += await self._run(update(m.SECRETS).where(same).values(**asdict(new.sealed)))
        return replaced

    async def delete_account(self, account_id: str, revision: int, now: datetime) -> None:
        """Removes an account with all that hangs on it and leaves a tombstone."""
        await self._run(delete(m.ACCOUNTS).where(m.ACCOUNTS.c.account_id == account_id))
        await self._run(insert(m.TOMBSTONES).values(account_id=account_id, revision=revision, time=now))

    async def set_wanted(
        self,
        account_ids: Sequence[str],
        revision: int,
        now: datetime,
        *,
        running: bool | None,
        chatting: bool | None,
    ) -> list[str]:
        """Sets the wishes of many accounts; see ports.Write."""
        columns = m.ACCOUNTS.c
        wishes = {
            column: value
            for column, value in ((columns.wanted_running, running), (columns.wanted_chatting, chatting))
            if value is not None
        }
        free = or_(columns.block_reason == Reason.UNSPECIFIED.value, columns.block_retry_time <= now)
        may = [columns.enabled, free] if running else []
        differs = or_(*(column != value for column, value in wishes.items()))
        done: list[str] = []
        for batch in batches(account_ids):
            chosen = [self._among(columns.account_id, batch), *may]
            if wishes:
                values = {column.name: value for column, value in wishes.items()} | {
                    "wish_revision": revision
                }
                await self._run(update(m.ACCOUNTS).where(*chosen, differs).values(values))
            count = (await self._rows(select(func.count().label("n")).where(*chosen)))[0].n
            if count == len(batch):  # the rule, and a fifth of the cost of reading the ids back
                done.extend(batch)
            else:
                rows = await self._rows(select(columns.account_id).where(*chosen))
                done.extend(row.account_id for row in rows)
        return done

    async def touch(self, account_ids: Collection[str], revision: int) -> None:
        """Stamps accounts with a revision, for changes beside the row."""
        for batch in batches(account_ids):
            await self._run(
                update(m.ACCOUNTS).where(m.ACCOUNTS.c.account_id.in_(batch)).values(revision=revision)
            )

    async def unseen(self, facts: Sequence[Fact], now: datetime) -> list[Fact]:
        """Remembers the facts and returns those not seen before, each once."""
        distinct = {fact.fact_id: fact for fact in facts}
        known = await self._where_in(select(m.SEEN_FACTS.c.fact_id), m.SEEN_FACTS.c.fact_id, distinct.keys())
        fresh = [f for f in distinct.values() if f.fact_id not in {row.fact_id for row in known}]
        await self._run(insert(m.SEEN_FACTS), [{"fact_id": f.fact_id, "time": now} for f in fresh])
        return fresh

    async def save_flood_waits(self, waits: Mapping[str, Sequence[FloodWait]]) -> None:
        """Adds waits by account; of two for the same thing the longer one stays."""
        rows = [
            {"account_id": i, "method": w.method, "chat_id": w.chat_id, "until_time": w.until}
            for i, found in waits.items()
            for w in found
        ]
        upsert = self._transaction.insert_or(m.FLOODS)
        longer = upsert.excluded.until_time > m.FLOODS.c.until_time
        await self._run(
            upsert.on_conflict_do_update(
                index_elements=["account_id", "method", "chat_id"],
                set_={"until_time": upsert.excluded.until_time},
                where=longer,
            ),
            rows,
        )

    async def clear_flood_waits(self, account_id: str, now: datetime) -> int:
        """Removes an account's waits; returns how many were still running."""
        mine = m.FLOODS.c.account_id == account_id
        running = await self._run(delete(m.FLOODS).where(mine, m.FLOODS.c.until_time > now))
        await self._run(delete(m.FLOODS).where(mine))
        return running

    async def save_counts(self, counts: Sequence[tuple[str, ChatCounts]]) -> None:
        """By account: replaces what one process counted on one day; counts never go down."""
        upsert = self._transaction.insert_or(m.CHAT_COUNTS)
        new, old = upsert.excluded, m.CHAT_COUNTS.c
        greater = {
            name: case((new[name] > old[name], new[name]), else_=old[name])
            for name in ("received", "answered")
        }
        keys = ["account_id", "day", "incarnation"]
        rows = [{"account_id": account_id, **asdict(count)} for account_id, count in counts]
        await self._run(upsert.on_conflict_do_update(index_elements=keys, set_=greater), rows)

    async def add_links(self, links: Sequence[tuple[Fact, LinkLost]]) -> None:
        """Adds to the connection history."""
        rows = [
            {
                **_seen(fact),
                "cause": link.cause,
                "uptime_ms": milliseconds(link.uptime),
                "downtime_ms": None if link.downtime is None else milliseconds(link.downtime),
                "reconnected": link.reconnected,
            }
            for fact, link in links
        ]
        await self._run(insert(m.LINKS), rows)

    async def add_deaths(self, deaths: Sequence[tuple[Fact, str, str]]) -> None:
        """Remembers sessions that Telegram refused, each with its auth key id and the reason."""
        rows = [{**_seen(fact), "auth_key_id": key, "reason": reason} for fact, key, reason in deaths]
        await self._run(insert(m.DEATHS), rows)

    async def set_starts_stopped(self, sentence: str, resumed: datetime | None) -> None:
        """Stops (a sentence) or resumes (empty) all starts."""
        values: dict[str, Any] = {"starts_stopped": sentence}
        if resumed is not None:
            values["resumed_time"] = resumed
        await self._run(update(m.FLEET).values(values))

    async def open_generation(self, expected: int | None, generation: Generation) -> bool:
        """Replaces generation number `expected` (None: there is none yet); False when another registry was
        faster."""
        values = generation_values(generation)
        if expected is None:
            upsert = self._transaction.insert_or(m.GENERATION).values(id=_ONLY_ROW, **values)
            return await self._run(upsert.on_conflict_do_nothing()) == 1
        return (
            await self._run(update(m.GENERATION).where(m.GENERATION.c.number == expected).values(values)) == 1
        )

    async def confirm_mirror(self, number: int, view: StoreView, now: datetime) -> bool:
        """Marks a generation as mirrored in the store that gave this view; False when it is not the current
        one, or was marked before."""
        seen = {"cluster_id": str(view.cluster_id), "high_water": view.mark}
        values = {"mirrored": True, "opened_at": now, **seen}
        current = and_(m.GENERATION.c.number == number, not_(m.GENERATION.c.mirrored))
        return await self._run(update(m.GENERATION).where(current).values(values)) == 1

    async def raise_high_water(self, number: int, revision: int) -> bool:
        """Remembers the revision of a grant; False when the generation is not the current one."""
        columns = m.GENERATION.c
        higher = case((columns.high_water < revision, revision), else_=columns.high_water)
        current = update(m.GENERATION).where(columns.number == number)
        return await self._run(current.values(high_water=higher)) == 1

    async def save_import(self, request_id: str, record: ImportRecord, now: datetime) -> None:
        """Remembers an import's answer."""
        row = {"fingerprint": record.fingerprint, "results": record.results, "time": now}
        await self._run(insert(m.IMPORTS).values(request_id=request_id, **row))

    async def insert_token(self, token: Token, secret_hash: bytes) -> bool:
        """False when the name is taken."""
        taken = await self._rows(select(m.TOKENS.c.name).where(m.TOKENS.c.name == token.name))
        if taken:
            return False
        await self.replace_token(token, secret_hash)
        return True

    async def replace_token(self, token: Token, secret_hash: bytes) -> None:
        """Makes or replaces the token of that name."""
        same = or_(m.TOKENS.c.name == token.name, m.TOKENS.c.secret_hash == secret_hash)
        await self._run(delete(m.TOKENS).where(same))
        await self._run(
            insert(m.TOKENS).values(
                name=token.name,
                secret_hash=secret_hash,
                role=token.role.value,
                create_time=token.create_time,
                expire_time=token.expire_time,
            )
        )

    async def set_role(self, name: str, role: Role) -> Token | None:
        """The token with its new role; None when there is none."""
        mine = m.TOKENS.c.name == name
        await self._run(update(m.TOKENS).where(mine).values(role=role.value))
        rows = await self._rows(select(m.TOKENS).where(mine))
        return token_from(rows[0]) if rows else None

    async def set_last_use(self, uses: Mapping[str, datetime]) -> None:
        """When tokens, by name, were presented last; earlier than what is known changes nothing."""
        known = m.TOKENS.c.last_use_time
        for name, moment in uses.items():
            newer = and_(m.TOKENS.c.name == name, or_(known.is_(None), known < moment))
            await self._run(update(m.TOKENS).where(newer).values(last_use_time=moment))

    async def delete_token(self, name: str) -> bool:
        """False when there is none."""
        return await self._run(delete(m.TOKENS).where(m.TOKENS.c.name == name)) > 0

    async def add_audit(self, entries: Sequence[Entry]) -> None:
        """Adds to the audit trail; an entry that is there already stays as it is."""
        await self._run(
            self._transaction.insert_or(m.AUDIT).on_conflict_do_nothing(),
            [entry_values(entry) for entry in entries],
        )

    async def prune_audit(self, before: datetime) -> None:
        """Forgets older entries of the audit trail."""
        await self._run(delete(m.AUDIT).where(m.AUDIT.c.time < before))

    async def prune(self, now: datetime) -> None:
        """Forgets what has become old."""
        for table, column, keep in (
            (m.SEEN_FACTS, m.SEEN_FACTS.c.time, _KEEP_FACT_IDS),
            (m.LINKS, m.LINKS.c.time, _KEEP_HISTORY),
            (m.IMPORTS, m.IMPORTS.c.time, _KEEP_IMPORTS),
            (m.TOMBSTONES, m.TOMBSTONES.c.time, _KEEP_TOMBSTONES),
            (m.FLOODS, m.FLOODS.c.until_time, timedelta(0)),
        ):
            await self._run(delete(table).where(column < now - keep))
        oldest = (now - _KEEP_HISTORY).date().isoformat()
        await self._run(delete(m.CHAT_COUNTS).where(m.CHAT_COUNTS.c.day < oldest))


def _label(account_id: str, key: str, value: str) -> dict[str, Any]:
    return {"account_id": account_id, "key": key, "value": value}


def _secret(account_id: str, purpose: str, sealed: Sealed) -> dict[str, Any]:
    return {
        "account_id": account_id,
        "purpose": purpose,
        "key_id": sealed.key_id,
        "nonce": sealed.nonce,
        "ciphertext": sealed.ciphertext,
    }


def _seen(fact: Fact) -> dict[str, Any]:
    return {
        "fact_id": fact.fact_id,
        "account_id": fact.account_id,
        "worker_id": fact.worker_id,
        "time": fact.time,
    }
