"""The master keys: which seals how much, and sealing everything with the first one again while all else goes
on.

A rotation takes secrets in small transactions, in the order of their accounts. A secret that changes in
between is left alone (compare and set on its nonce): whoever changed it sealed it with the active key. What
was done stays done, so a rotation that is broken off is simply started again.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from services.registry.ports import SealedSecret, SecretUnreadableError, Store, Vault
from services.runtime.logs import get_logger

_log = get_logger("registry.keys")

BATCH = 100
"""Secrets in one transaction: some milliseconds, so that other writers hardly notice."""
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class MasterKey:
    """A master key, without the key. `present` tells whether this registry has it."""

    key_id: str
    active: bool
    present: bool
    secrets: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a rotation is; `remaining` were not looked at yet."""

    key_id: str
    resealed: int
    remaining: int
    unreadable: int
    unreadable_account_ids: tuple[str, ...] = ()
    done: bool = False


class Keys:
    """The use cases ListKeys and RotateKeys."""

    def __init__(self, store: Store, vault: Vault) -> None:
        self._store = store
        self._vault = vault

    async def list_keys(self) -> list[MasterKey]:
        """All keys that are at hand or seal anything, the active one first, then by name."""
        async with self._store.read() as tx:
            counts = await tx.secrets_by_key()
        present = self._vault.key_ids()
        keys = [
            MasterKey(key_id, key_id == present[0], key_id in present, counts.get(key_id, 0))
            for key_id in {*present, *counts}
        ]
        return sorted(keys, key=lambda key: (not key.active, key.key_id))

    async def rotate(self) -> AsyncGenerator[Progress, None]:
        """Seals everything with the active key again; a progress after each batch. When the active key
        changes meanwhile, what is left goes to the new one and the rest to the next call."""
        key_id = self._vault.key_ids()[0]
        after, resealed, unreadable = ("", ""), 0, dict[str, None]()
        unreadable_count = 0
        while True:
            async with self._store.read() as tx:
                batch = await tx.secrets_not_under(key_id, after, BATCH)
                remaining = await tx.count_not_under(key_id, after)
            if not batch:
                break
            after = (batch[-1].account_id, batch[-1].purpose)
            fresh, bad = self._reseal(batch)
            async with self._store.write() as tx:
                resealed += await tx.replace_secrets(fresh)
            unreadable_count += len(bad)
            unreadable |= dict.fromkeys(bad)
            yield Progress(key_id, resealed, remaining - len(batch), unreadable_count)
        _log.info("keys rotated", key_id=key_id, resealed=resealed, unreadable=unreadable_count)
        yield Progress(key_id, resealed, 0, unreadable_count, tuple(unreadable)[:_SHOWN], done=True)

    def _reseal(self, batch: list[SealedSecret]) -> tuple[list[tuple[SealedSecret, SealedSecret]], list[str]]:
        """Each secret before and after, and the accounts whose secrets cannot be opened."""
        fresh: list[tuple[SealedSecret, SealedSecret]] = []
        bad: list[str] = []
        for old in batch:
            try:
                plain = self._vault.unseal(old.sealed, old.account_id, old.purpose)
            except SecretUnreadableError:
                bad.append(old.account_id)
                continue
            sealed = self._vault.seal(plain, old.account_id, old.purpose)
            fresh.append((old, SealedSecret(old.account_id, old.purpose, sealed)))
        return fresh, bad
