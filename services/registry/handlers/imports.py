"""Adding accounts: one result for each item, in one transaction, the same answer when it is repeated."""

import asyncio
import base64
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from services.registry.domain import importing, values
from services.registry.domain.account import Account, AccountView
from services.registry.domain.importing import Item, Prepared, Present, Refusal
from services.registry.handlers.accounts import PROXY
from services.registry.handlers.changes import ChangeSignal
from services.registry.handlers.errors import named
from services.registry.handlers.material import SESSION, seal_session
from services.registry.ports import ImportRecord, Sealed, Store, Vault, Write
from services.runtime.clock import Clock
from services.runtime.errors import InvalidArgument


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What became of one item. `account_id` is empty when it was refused; `field` is the whole path."""

    name: str
    account_id: str
    kind: str
    reason: str = ""
    field: str = ""
    detail: str = ""


class Imports:
    """The use case ImportAccounts."""

    def __init__(self, store: Store, vault: Vault, clock: Clock, signal: ChangeSignal) -> None:
        self._store = store
        self._vault = vault
        self._clock = clock
        self._signal = signal

    async def run(
        self, items: Sequence[Item], request_id: str
    ) -> tuple[list[ImportResult], dict[str, AccountView]]:
        """Adds what can be added; the results in order, and the accounts that are there now by id."""
        if not 1 <= len(items) <= importing.MAX_ITEMS:
            raise InvalidArgument(f"1 to {importing.MAX_ITEMS} accounts in one call.", field="items")
        with named():
            values.check_request_id(request_id)
        prepared = await asyncio.to_thread(lambda: [importing.prepare(item) for item in items])
        fingerprint = importing.fingerprint(prepared)
        async with self._store.write() as tx:
            results = await self._repeat(tx, request_id, fingerprint)
            if results is None:
                results = await self._add(tx, prepared)
                if request_id:
                    record = ImportRecord(fingerprint, json.dumps([asdict(result) for result in results]))
                    await tx.save_import(request_id, record, self._clock.wall())
            ids = [result.account_id for result in results if result.account_id]
            views = await tx.views(ids, self._clock.wall())
        self._signal.notify()
        return results, views

    async def _repeat(self, tx: Write, request_id: str, fingerprint: bytes) -> list[ImportResult] | None:
        record = await tx.import_record(request_id) if request_id else None
        if record is None:
            return None
        if record.fingerprint != fingerprint:
            raise InvalidArgument(
                "This request_id was used for another import; use a new one.",
                field="request_id",
                reason="REQUEST_ID_REUSED",
            )
        return [ImportResult(**result) for result in json.loads(record.results)]

    async def _add(self, tx: Write, prepared: Sequence[Prepared | Refusal]) -> list[ImportResult]:
        good = [item for item in prepared if isinstance(item, Prepared)]
        names, keys = await tx.taken(
            [item.name for item in good], [item.session.auth_key_id for item in good if item.session]
        )
        files = await tx.files_taken([(i.home_worker, i.session_file) for i in good if i.session_file])
        decided = importing.decide(prepared, Present(names, keys, files))
        revision = await tx.next_revision() if any(isinstance(i, Prepared) for i in decided) else 0
        users = await tx.users(
            [item.session.user_id for item in good if item.session and item.session.user_id]
        )
        results: list[ImportResult] = []
        new: list[tuple[Account, dict[str, Sealed]]] = []
        for index, item in enumerate(decided):
            if isinstance(item, Refusal):
                field = f"items[{index}].{item.field}"
                results.append(ImportResult(item.name, "", item.kind, item.reason, field, item.detail))
                continue
            account = self._account(item, revision)
            new.append((account, self._secrets(item, account.account_id)))
            warning = _same_user(account.user_id, users)
            results.append(ImportResult(item.name, account.account_id, item.kind, detail=warning))
        await tx.insert_accounts(new)
        return results

    def _secrets(self, item: Prepared, account_id: str) -> dict[str, Sealed]:
        secrets: dict[str, Sealed] = {}
        if item.session:
            secrets[SESSION] = seal_session(self._vault, item.session, account_id)
        if item.proxy:
            secrets[PROXY] = self._vault.seal(item.proxy.url.encode(), account_id, PROXY)
        return secrets

    def _account(self, item: Prepared, revision: int) -> Account:
        now = self._clock.wall()
        return Account(
            account_id=new_account_id(),
            name=item.name,
            labels=item.labels,
            priority=item.priority,
            enabled=not item.disabled,
            user_id=item.session.user_id if item.session else 0,
            auth_key_id=item.session.auth_key_id if item.session else "",
            session_location=item.location,
            home_worker=item.home_worker,
            session_file=item.session_file,
            proxy_public=item.proxy.public if item.proxy else "",
            api_id=item.api_id,
            time_zone=item.time_zone,
            chat_policy=item.chat_policy,
            create_time=now,
            update_time=now,
            revision=revision,
        )


def _same_user(user_id: int, users: Mapping[int, str]) -> str:
    """A warning when another account is of the same user. Several sessions of one user are legal."""
    if user_id not in users:
        return ""
    return f"Account {users[user_id]} is of the same Telegram user; both will receive the same messages."


def new_account_id() -> str:
    """`acc_` and 12 lower-case base32 characters: 60 random bits."""
    return "acc_" + base64.b32encode(os.urandom(8))[:12].decode().lower()
