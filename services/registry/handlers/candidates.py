"""What SQL has to say about sessions that a worker asks for: who may have one, and everything that goes with
a grant.

Session files stay on their worker, so their key becomes known only here: it is bound to the account, unless
another account has the same one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NamedTuple

from services.registry.domain import refusals
from services.registry.domain.account import Account, FloodWait, SessionLocation, Startable
from services.registry.domain.refusals import Refusal
from services.registry.domain.session import Session
from services.registry.domain.values import AUTH_KEY_ID
from services.registry.handlers.accounts import PROXY
from services.registry.handlers.changes import ChangeSignal
from services.registry.handlers.material import unseal_session
from services.registry.ports import Sealed, SecretUnreadableError, Store, Vault
from services.runtime.errors import InvalidArgument


class AcquireItem(NamedTuple):
    """A session that a worker wants; `auth_key_id` is what it found in its own file, else empty."""

    account_id: str
    auth_key_id: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """An account that may run, with what its worker needs. `session` is None for a file on the worker."""

    account: Startable
    auth_key_id: str
    session: Session | None = field(repr=False)
    proxy: str = field(repr=False)
    flood_waits: tuple[FloodWait, ...]


@dataclass(frozen=True, slots=True)
class _Facts:
    """What was read for all items at once."""

    accounts: Mapping[str, Startable]
    sessions: Mapping[str, Sealed]
    proxies: Mapping[str, Sealed]
    flood_waits: Mapping[str, tuple[FloodWait, ...]]
    starts_stopped: str
    conflicts: Mapping[str, str]


class Candidates:
    """Looks accounts up for acquisitions."""

    def __init__(self, store: Store, vault: Vault, signal: ChangeSignal) -> None:
        self._store = store
        self._vault = vault
        self._signal = signal

    async def look(
        self, worker_id: str, items: Sequence[AcquireItem], now: datetime
    ) -> list[Candidate | Refusal]:
        """A candidate or a refusal for each item, in order. Raises InvalidArgument."""
        _check_items(items)
        known = await self._read(items, now)
        accounts, stopped = known.accounts, known.starts_stopped
        refused = [
            refusals.refuse_account(accounts.get(i.account_id), worker_id, i.auth_key_id, stopped, now)
            for i in items
        ]
        allowed = [item for item, refusal in zip(items, refused, strict=True) if refusal is None]
        known = replace(known, conflicts=await self._bind_files(allowed, accounts))
        return [
            refusal or self._one(item, accounts[item.account_id], known)
            for item, refusal in zip(items, refused, strict=True)
        ]

    async def _read(self, items: Sequence[AcquireItem], now: datetime) -> _Facts:
        async with self._store.read() as tx:
            found = await tx.startables([item.account_id for item in items])
            proxied = [account_id for account_id, (account, _) in found.items() if account.proxy_public]
            return _Facts(
                {account_id: account for account_id, (account, _) in found.items()},
                {account_id: sealed for account_id, (_, sealed) in found.items() if sealed is not None},
                await tx.secrets(proxied, PROXY),
                await tx.flood_waits(found.keys(), now),
                (await tx.flags()).starts_stopped,
                {},
            )

    async def _bind_files(
        self, items: Sequence[AcquireItem], accounts: Mapping[str, Startable]
    ) -> dict[str, str]:
        """Notes the keys found in session files on their accounts. Returns the accounts whose key is taken,
        with whose it is."""
        new = {
            i.account_id: i.auth_key_id for i in items if _is_new_key(accounts[i.account_id], i.auth_key_id)
        }
        if not new:
            return {}
        conflicts: dict[str, str] = {}
        async with self._store.write() as tx:
            _, keys = await tx.taken([], new.values())
            current = await tx.accounts(new.keys())
            revision = await tx.next_revision()
            changed: list[Account] = []
            for account_id, key in new.items():
                if key in keys:
                    conflicts[account_id] = keys[key]
                elif account_id in current:
                    keys[key] = current[account_id].name
                    changed.append(replace(current[account_id], auth_key_id=key, revision=revision))
            await tx.save_accounts(changed)
        self._signal.notify()
        return conflicts

    def _one(self, item: AcquireItem, account: Startable, known: _Facts) -> Candidate | Refusal:
        if item.account_id in known.conflicts:
            return refusals.conflict(known.conflicts[item.account_id])
        try:
            session, proxy = self._open(account, known)
        except SecretUnreadableError as error:
            return refusals.unreadable(str(error))
        key = session.auth_key_id if session else item.auth_key_id
        return Candidate(account, key, session, proxy, known.flood_waits.get(account.account_id, ()))

    def _open(self, account: Startable, known: _Facts) -> tuple[Session | None, str]:
        """Session and proxy in the clear. Raises SecretUnreadableError."""
        account_id = account.account_id
        proxy = ""
        if account.proxy_public:
            proxy = self._vault.unseal(_present(known.proxies, account_id), account_id, PROXY).decode()
        if account.session_location is not SessionLocation.VAULT:
            return None, proxy
        return unseal_session(self._vault, _present(known.sessions, account_id), account_id), proxy


def _present(secrets: Mapping[str, Sealed], account_id: str) -> Sealed:
    if account_id not in secrets:
        raise SecretUnreadableError("It is not in the database.")
    return secrets[account_id]


def _is_new_key(account: Startable, key: str) -> bool:
    return account.session_location is SessionLocation.WORKER_FILE and key != account.auth_key_id


def _check_items(items: Sequence[AcquireItem]) -> None:
    for index, item in enumerate(items):
        if item.auth_key_id:
            check_key_id(item.auth_key_id, f"items[{index}].auth_key_id")
    if len({item.account_id for item in items}) != len(items):
        raise InvalidArgument("Each account can be asked for once in a call.", field="items")


def check_key_id(auth_key_id: str, field: str) -> None:
    """Raises InvalidArgument for what is no auth key id."""
    if not AUTH_KEY_ID.fullmatch(auth_key_id):
        raise InvalidArgument("An auth key id has 16 hex digits.", field=field)
