"""Listing, changing and deleting accounts, and what is wanted of them."""

import base64
import binascii
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from services.registry.domain import facts, values
from services.registry.domain.account import Account, AccountView, ChatPolicy, TransferPolicy
from services.registry.domain.proxy import parse_proxy
from services.registry.handlers.changes import ChangeSignal
from services.registry.handlers.errors import account_not_found, named
from services.registry.ports import LeaseStore, Order, Read, Selection, Store, Vault, Write
from services.runtime.clock import Clock
from services.runtime.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound

MAX_PAGE = 1000
DEFAULT_PAGE = 100
MAX_REFS = 100_000
PROXY = "proxy"


@dataclass(frozen=True, slots=True)
class AccountPatch:
    """New values for the fields that `mask` names."""

    ref: str
    mask: tuple[str, ...]
    name: str
    labels: Mapping[str, str]
    priority: int
    home_worker: str
    time_zone: str
    chat_policy: ChatPolicy
    transfer_policy: TransferPolicy
    proxy: str


_FIELDS = (
    "name",
    "labels",
    "priority",
    "home_worker",
    "time_zone",
    "chat_policy",
    "transfer_policy",
    "proxy",
)


class Accounts:
    """The use cases on accounts. Any number of registries may serve them over one database."""

    def __init__(
        self, store: Store, leases: LeaseStore, vault: Vault, clock: Clock, signal: ChangeSignal
    ) -> None:
        self._store = store
        self._leases = leases
        self._vault = vault
        self._clock = clock
        self._signal = signal

    async def page(
        self, selection: Selection, page_size: int, page_token: str
    ) -> tuple[list[AccountView], str]:
        """A page and the next page's token."""
        check_selection(selection)
        limit = page_limit(page_size)
        after = decode_page_token(page_token)
        async with self._store.read() as tx:
            if selection.refs:
                await _all_orders(tx, selection.refs)
            views, last = await tx.page(selection, after, limit, self._clock.wall())
        return views, encode_page_token(last)

    async def get(self, ref: str) -> AccountView:
        """One account by id or name."""
        async with self._store.read() as tx:
            return await _view(tx, await one_account(tx, ref), self._clock.wall())

    async def update(self, patch: AccountPatch) -> AccountView:
        """Changes the fields that the mask names, or nothing."""
        if not patch.mask:
            raise InvalidArgument("update_mask names no field.", field="update_mask")
        for field in patch.mask:
            if field not in _FIELDS:
                raise InvalidArgument(
                    f"update_mask may name {', '.join(_FIELDS)}.",
                    field="update_mask",
                    metadata={"path": field[:64]},
                )
        now = self._clock.wall()
        async with self._store.write() as tx:
            account = await one_account(tx, patch.ref, "account.account_id")
            changed = replace(_patched(account, patch), update_time=now, revision=await tx.next_revision())
            await _refuse_taken(tx, account, changed)
            await tx.save_accounts([changed])
            if "labels" in patch.mask:
                await tx.save_labels(account.account_id, changed.labels)
            if "proxy" in patch.mask:
                await self._save_proxy(tx, account.account_id, patch.proxy)
            view = await _view(tx, changed, now)
        self._signal.notify()
        return view

    async def delete(self, ref: str) -> None:
        """Deletes an account for good. Raises FailedPrecondition while it is wanted running or its session is
        held."""
        async with self._store.read() as tx:
            await self._refuse_held(await one_account(tx, ref))
        async with self._store.write() as tx:
            account = await one_account(tx, ref)
            if account.wanted_running:
                raise FailedPrecondition(
                    "The account is wanted running; stop it first.",
                    reason="ACCOUNT_RUNNING",
                    field="account_id",
                )
            await tx.delete_account(account.account_id, await tx.next_revision(), self._clock.wall())
        self._signal.notify()

    async def set_enabled(self, ref: str, *, enabled: bool) -> AccountView:
        """Enables or disables an account. Idempotent."""
        now = self._clock.wall()
        async with self._store.write() as tx:
            account = await one_account(tx, ref)
            changed = facts.enable(account, enabled=enabled)
            if changed != account:
                changed = replace(changed, update_time=now, revision=await tx.next_revision())
                await tx.save_accounts([changed])
            view = await _view(tx, changed, now)
        self._signal.notify()
        return view

    async def reset_flood_waits(self, ref: str) -> int:
        """Forgets an account's waits; returns how many were still running."""
        now = self._clock.wall()
        async with self._store.write() as tx:
            account = await one_account(tx, ref)
            removed = await tx.clear_flood_waits(account.account_id, now)
            if removed:
                await tx.touch([account.account_id], await tx.next_revision())
        self._signal.notify()
        return removed

    async def resolve(self, selection: Selection) -> tuple[list[str], int]:
        """The ids that a selection means, by priority (high first), then name; and the revision at which this
        was so."""
        check_selection(selection)
        async with self._store.read() as tx:
            flags = await tx.flags()
            if selection.refs:
                found = set((await _all_orders(tx, selection.refs)).values())
                ids = [o.account_id for o in sorted(found, key=lambda o: (-o.priority, o.name))]
            else:
                ids = await tx.select_ids(selection.labels)
        if not ids:
            field = "match_labels" if selection.labels else None
            raise NotFound("The selection matches no account.", reason="NO_ACCOUNT_SELECTED", field=field)
        return ids, flags.revision

    async def revision(self) -> int:
        """The accounts' revision now."""
        async with self._store.read() as tx:
            return (await tx.flags()).revision

    async def set_wanted(
        self, account_ids: Collection[str], *, running: bool | None, chatting: bool | None
    ) -> tuple[list[str], int]:
        """Records what is wanted of many accounts in one transaction; the ids that it is now true for, and
        the revision."""
        if len(account_ids) > MAX_REFS:
            raise InvalidArgument(f"At most {MAX_REFS} accounts in one call.", field="account_ids")
        distinct = list(dict.fromkeys(account_ids))
        async with self._store.write() as tx:
            revision = await tx.next_revision()
            done = await tx.set_wanted(
                distinct, revision, self._clock.wall(), running=running, chatting=chatting
            )
        self._signal.notify()
        return done, revision

    async def _save_proxy(self, tx: Write, account_id: str, url: str) -> None:
        proxy = parse_proxy(url)
        sealed = self._vault.seal(proxy.url.encode(), account_id, PROXY) if proxy else None
        await tx.save_secret(account_id, PROXY, sealed)

    async def _refuse_held(self, account: Account) -> None:
        holders = await self._leases.holders([account.auth_key_id]) if account.auth_key_id else {}
        for holder in holders.values():
            raise FailedPrecondition(
                f"The account's session is still held by worker {holder.worker_id}; stop the account, or "
                "wait until its lease has ended.",
                reason="ACCOUNT_RUNNING",
                metadata={"worker_id": holder.worker_id},
                field="account_id",
            )


def check_selection(selection: Selection) -> None:
    """Raises InvalidArgument for both kinds at once, too many or bad ones."""
    if selection.refs and selection.labels:
        raise InvalidArgument(
            "Select accounts either by account_ids or by match_labels, not by both.", field="match_labels"
        )
    if len(selection.refs) > MAX_REFS:
        raise InvalidArgument(f"At most {MAX_REFS} accounts in one call.", field="account_ids")
    for index, ref in enumerate(selection.refs):
        _check_ref(ref, f"account_ids[{index}]")
    with named():
        values.check_labels(selection.labels, "match_labels")


def page_limit(page_size: int, default: int = DEFAULT_PAGE, maximum: int = MAX_PAGE) -> int:
    """The size of a page. Raises InvalidArgument."""
    if not 0 <= page_size <= maximum:
        raise InvalidArgument(f"page_size is 1 to {maximum}, or 0 for {default}.", field="page_size")
    return page_size or default


def encode_page_token(last: str) -> str:
    """A page token for what comes after that name; empty for the end. Opaque, as names may be phone
    numbers."""
    return base64.urlsafe_b64encode(last.encode()).decode() if last else ""


def decode_page_token(token: str) -> str:
    """Raises InvalidArgument."""
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise InvalidArgument("page_token is not one of ours.", field="page_token") from error


async def one_account(tx: Read, ref: str, field: str = "account_id") -> Account:
    """The account of that id or name. Raises NotFound, or InvalidArgument for none named."""
    _check_ref(ref, field)
    found = await tx.accounts([ref])
    if ref not in found:
        raise account_not_found(ref, field=field)
    return found[ref]


def _check_ref(ref: str, field: str) -> None:
    if not 1 <= len(ref) <= values.MAX_NAME or not ref.isprintable():
        raise InvalidArgument("An account is named by its id or its name.", field=field)


async def _all_orders(tx: Read, refs: Collection[str]) -> dict[str, Order]:
    """Raises NotFound that names the missing ones."""
    found = await tx.orders(refs)
    missing = [ref for ref in dict.fromkeys(refs) if ref not in found]
    if missing:
        raise account_not_found(*missing, field="account_ids")
    return found


async def _view(tx: Read, account: Account, now: datetime) -> AccountView:
    return (await tx.views([account.account_id], now))[account.account_id]


async def _refuse_taken(tx: Read, account: Account, changed: Account) -> None:
    """Raises AlreadyExists when the new name, or the file on the new home worker, is another account's."""
    names, _ = await tx.taken([changed.name], [])
    if names.get(changed.name, account.account_id) != account.account_id:
        raise AlreadyExists(
            "Another account has this name.",
            reason="NAME_TAKEN",
            metadata={"account_id": names[changed.name]},
            field="account.name",
        )
    if changed.session_file and changed.home_worker != account.home_worker:
        file = (changed.home_worker, changed.session_file)
        if file in await tx.files_taken([file]):
            raise AlreadyExists(
                "This worker's session file of that name is another account's.",
                reason="SESSION_ALREADY_IMPORTED",
                field="account.home_worker",
            )


def _patched(account: Account, patch: AccountPatch) -> Account:
    """The account with the named fields changed. Raises InvalidArgument."""
    changes: dict[str, object] = {}
    with named("account"):
        for field in patch.mask:
            if field != "proxy":
                changes[field] = _CHECKS[field](account, patch)
    if "proxy" in patch.mask:
        with named():
            proxy = parse_proxy(patch.proxy)
        changes["proxy_public"] = proxy.public if proxy else ""
    return replace(account, **changes)  # type: ignore[arg-type]  # each check gives its field's type


_CHECKS: Mapping[str, Callable[[Account, AccountPatch], object]] = {
    "name": lambda _, patch: values.check_name(patch.name),
    "labels": lambda _, patch: values.check_labels(patch.labels),
    "priority": lambda _, patch: values.check_priority(patch.priority),
    "home_worker": lambda account, patch: _home_worker(account, patch.home_worker),
    "time_zone": lambda _, patch: values.check_time_zone(patch.time_zone),
    "chat_policy": lambda _, patch: check_policy(patch.chat_policy, "chat_policy"),
    "transfer_policy": lambda _, patch: _transfer_policy(patch.transfer_policy),
}


def _home_worker(account: Account, worker_id: str) -> str:
    return values.check_worker_id(worker_id, "home_worker", required=bool(account.session_file))


def _transfer_policy(policy: TransferPolicy) -> TransferPolicy:
    return TransferPolicy(
        values.check_daily_cap(policy.daily_cap, "transfer_policy.daily_cap"),
        values.check_hours(policy.allowed_hours, "transfer_policy.allowed_hours"),
    )


def check_policy(policy: ChatPolicy, field: str) -> ChatPolicy:
    """The policy in normal form. Raises BadValueError."""
    return ChatPolicy(
        values.check_chat_ids(policy.chat_ids, f"{field}.chat_ids"),
        values.check_user_ids(policy.user_ids, f"{field}.user_ids"),
        policy.contacts,
    )
