"""The audit trail: entries come from gateways, are kept for some days, and are read by administrators."""

from collections.abc import Sequence
from datetime import timedelta

from services.registry.domain import audit
from services.registry.domain.audit import Entry
from services.registry.handlers.accounts import page_limit
from services.registry.handlers.errors import named
from services.registry.ports import Store
from services.runtime.clock import Clock
from services.runtime.errors import InvalidArgument


class Audit:
    """The use cases RecordAudit and ListAuditEntries."""

    def __init__(self, store: Store, clock: Clock, keep: timedelta) -> None:
        """Entries older than `keep` are forgotten by `prune`."""
        self._store = store
        self._clock = clock
        self._keep = keep

    async def record(self, entries: Sequence[Entry]) -> None:
        """Keeps the entries, each once; when this returns they are on disk."""
        if len(entries) > audit.MAX_ENTRIES:
            raise InvalidArgument(f"At most {audit.MAX_ENTRIES} entries in one call.", field="entries")
        with named():
            for index, entry in enumerate(entries):
                audit.check(entry, f"entries[{index}]")
        if entries:
            async with self._store.write() as tx:
                await tx.add_audit(entries)

    async def page(self, page_size: int, page_token: str) -> tuple[list[Entry], str]:
        """A page, the newest entry first, and the next page's token."""
        limit = page_limit(page_size)
        with named():
            after = audit.decode_place(page_token)
        async with self._store.read() as tx:
            found = await tx.audit(after, limit + 1)
        if len(found) <= limit:
            return found, ""
        last = found[limit - 1]
        return found[:limit], audit.encode_place(audit.Place(last.time, last.entry_id))

    async def prune(self) -> None:
        """Forgets what is older than the days that are kept."""
        async with self._store.write() as tx:
            await tx.prune_audit(self._clock.wall() - self._keep)
