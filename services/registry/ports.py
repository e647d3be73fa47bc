"""What the registry's use cases need from outside. Adapters implement these; tests run the same suites
against each.

A store hands out transactions: everything done through one `Write` is committed together, or not at all when
the block raises. Nothing here blocks the event loop.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from services.registry.domain.account import Account, AccountView, FloodWait, Startable
from services.registry.domain.audit import Entry, Place
from services.registry.domain.facts import ChatCounts, Death, Fact, LinkLost
from services.registry.domain.leasing import (
    AcquireAnswer,
    Epoch,
    Generation,
    HeldLease,
    Holder,
    Owner,
    Release,
    ReleaseAnswer,
    RenewAnswer,
    StoreView,
    Want,
)
from services.registry.domain.tokens import Role, Token


@dataclass(frozen=True, slots=True)
class Selection:
    """Ids or names, or labels that all must match; neither selects all."""

    refs: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Order:
    """What decides the order of accounts in a selection."""

    account_id: str
    priority: int
    name: str


@dataclass(frozen=True, slots=True)
class Sealed:
    """An encrypted secret."""

    key_id: str
    nonce: bytes
    ciphertext: bytes


@dataclass(frozen=True, slots=True)
class SealedSecret:
    """An encrypted secret and where it lies."""

    account_id: str
    purpose: str
    sealed: Sealed


@dataclass(frozen=True, slots=True)
class FleetFlags:
    """What counts for the whole fleet. `starts_stopped` is a sentence, or empty."""

    revision: int
    starts_stopped: str
    resumed_time: datetime | None


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is wanted now of accounts of which nothing else changed."""

    running: bool
    chatting: bool
    account_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed after some revision up to `flags.revision`."""

    accounts: tuple[AccountView, ...]
    deleted: tuple[str, ...]
    flags: FleetFlags
    wishes: tuple[Wishes, ...] = ()


@dataclass(frozen=True, slots=True)
class ImportRecord:
    """What an earlier import with the same request id was asked and answered."""

    fingerprint: bytes
    results: str


class Read(Protocol):
    """One consistent look at the database."""

    async def accounts(self, refs: Collection[str]) -> dict[str, Account]:
        """Accounts by id or name, keyed by what they were asked with; missing ones are left out."""
        ...

    async def startables(self, account_ids: Collection[str]) -> dict[str, tuple[Startable, Sealed | None]]:
        """What acquiring needs of accounts, by id, each with its sealed session if there is one."""
        ...

    async def views(self, account_ids: Sequence[str], now: datetime) -> dict[str, AccountView]:
        """Accounts by id, with running waits and today's counts."""
        ...

    async def page(
        self, selection: Selection, after: str, limit: int, now: datetime
    ) -> tuple[list[AccountView], str]:
        """Up to `limit` accounts ordered by name, after that name; and the last name when there are more,
        else ""."""
        ...

    async def orders(self, refs: Collection[str]) -> dict[str, Order]:
        """Id, priority and name of accounts by id or name, keyed by what they were asked with."""
        ...

    async def select_ids(self, labels: Mapping[str, str]) -> list[str]:
        """Ids of all accounts with all these labels, by priority (high first), then name."""
        ...

    async def taken(
        self, names: Collection[str], keys: Collection[str]
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Which of the names and auth key ids exist: name -> id, key -> name of its account."""
        ...

    async def users(self, user_ids: Collection[int]) -> dict[int, str]:
        """Which of Telegram's users are there, and the name of an account of each."""
        ...

    async def files_taken(self, files: Collection[tuple[str, str]]) -> dict[tuple[str, str], str]:
        """Which of the session files (worker, file name) belong to an account, and its name."""
        ...

    async def secrets(self, account_ids: Collection[str], purpose: str) -> dict[str, Sealed]:
        """The ciphertexts of one purpose (`session`, `proxy`), by account."""
        ...

    async def secrets_by_key(self) -> dict[str, int]:
        """How many secrets each master key seals."""
        ...

    async def secrets_not_under(self, key_id: str, after: tuple[str, str], limit: int) -> list[SealedSecret]:
        """Up to `limit` secrets under other keys, ordered by account and purpose, after that place."""
        ...

    async def count_not_under(self, key_id: str, after: tuple[str, str]) -> int:
        """How many there are in all."""
        ...

    async def flood_waits(
        self, account_ids: Collection[str], now: datetime
    ) -> dict[str, tuple[FloodWait, ...]]:
        """Waits that still run, by account."""
        ...

    async def changes(self, after: int, now: datetime) -> Changes:
        """Everything that changed after a revision; after -1, every account."""
        ...

    async def flags(self) -> FleetFlags:
        """What counts for the whole fleet."""
        ...

    async def generation(self) -> Generation | None:
        """The lease store's generation; None before the first one."""
        ...

    async def any_account(self) -> bool:
        """Whether there is any account."""
        ...

    async def import_record(self, request_id: str) -> ImportRecord | None:
        """An earlier import."""
        ...

    async def token_by_hash(self, secret_hash: bytes) -> tuple[Token, bytes] | None:
        """The token with that hash, and the stored hash."""
        ...

    async def tokens(self, after: str, limit: int) -> list[Token]:
        """Up to `limit` tokens ordered by name, after that name."""
        ...

    async def audit(self, after: Place | None, limit: int) -> list[Entry]:
        """Up to `limit` entries of the audit trail after that place, the newest first."""
        ...

    async def deaths(self, reason: str, since: datetime) -> list[Death]:
        """Sessions that died of a reason since then."""
        ...


class Write(Read, Protocol):
    """A transaction that may change things."""

    async def next_revision(self) -> int:
        """Raises the accounts' revision; concurrent writers wait for each other here."""
        ...

    async def insert_accounts(self, new: Sequence[tuple[Account, Mapping[str, Sealed]]]) -> None:
        """New accounts with their labels and their secrets by purpose."""
        ...

    async def save_accounts(self, accounts: Sequence[Account]) -> None:
        """Writes all columns but labels of accounts that exist."""
        ...

    async def save_labels(self, account_id: str, labels: Mapping[str, str]) -> None:
        """Replaces an account's labels."""
        ...

    async def save_secret(self, account_id: str, purpose: str, sealed: Sealed | None) -> None:
        """Replaces or (None) removes one secret."""
        ...

    async def replace_secrets(self, changes: Sequence[tuple[SealedSecret, SealedSecret]]) -> int:
        """Replaces each secret that is still as it was (the first of the pair); how many were."""
        ...

    async def delete_account(self, account_id: str, revision: int, now: datetime) -> None:
        """Removes an account with all that hangs on it and leaves a tombstone."""
        ...

    async def set_wanted(
        self,
        account_ids: Sequence[str],
        revision: int,
        now: datetime,
        *,
        running: bool | None,
        chatting: bool | None,
    ) -> list[str]:
        """Sets the wishes of many accounts, all but the disabled and set-aside ones when they are wanted
        running. Returns the ids whose wish is now as asked; only those that it changed get the revision."""
        ...

    async def touch(self, account_ids: Collection[str], revision: int) -> None:
        """Stamps accounts with a revision, for changes beside the row."""
        ...

    async def unseen(self, facts: Sequence[Fact], now: datetime) -> list[Fact]:
        """Remembers the facts and returns those not seen before, each once."""
        ...

    async def save_flood_waits(self, waits: Mapping[str, Sequence[FloodWait]]) -> None:
        """Adds waits by account; of two for the same thing the longer one stays."""
        ...

    async def clear_flood_waits(self, account_id: str, now: datetime) -> int:
        """Removes an account's waits; returns how many were still running."""
        ...

    async def save_counts(self, counts: Sequence[tuple[str, ChatCounts]]) -> None:
        """By account: replaces what one process counted on one day; counts never go down."""
        ...

    async def add_links(self, links: Sequence[tuple[Fact, LinkLost]]) -> None:
        """Adds to the connection history."""
        ...

    async def add_deaths(self, deaths: Sequence[tuple[Fact, str, str]]) -> None:
        """Remembers sessions that Telegram refused, each with its auth key id and the reason."""
        ...

    async def set_starts_stopped(self, sentence: str, resumed: datetime | None) -> None:
        """Stops (a sentence) or resumes (empty) all starts."""
        ...

    async def open_generation(self, expected: int | None, generation: Generation) -> bool:
        """Replaces generation number `expected` (None: there is none yet); False when another registry was
        faster."""
        ...

    async def confirm_mirror(self, number: int, view: StoreView, now: datetime) -> bool:
        """Marks a generation as mirrored in the store that gave this view, whose mark becomes the high water.
        It counts as opened `now`: until then others may have renewed in the former one. False when it is not
        the current one, or was marked before."""
        ...

    async def raise_high_water(self, number: int, revision: int) -> bool:
        """Remembers the revision of a grant; False when the generation is not the current one."""
        ...

    async def save_import(self, request_id: str, record: ImportRecord, now: datetime) -> None:
        """Remembers an import's answer."""
        ...

    async def insert_token(self, token: Token, secret_hash: bytes) -> bool:
        """False when the name is taken."""
        ...

    async def replace_token(self, token: Token, secret_hash: bytes) -> None:
        """Makes or replaces the token of that name."""
        ...

    async def set_role(self, name: str, role: Role) -> Token | None:
        """The token with its new role; None when there is none."""
        ...

    async def set_last_use(self, uses: Mapping[str, datetime]) -> None:
        """When tokens, by name, were presented last; earlier than what is known changes nothing."""
        ...

    async def delete_token(self, name: str) -> bool:
        """False when there is none."""
        ...

    async def add_audit(self, entries: Sequence[Entry]) -> None:
        """Adds to the audit trail; an entry that is there already stays as it is."""
        ...

    async def prune_audit(self, before: datetime) -> None:
        """Forgets older entries of the audit trail."""
        ...

    async def prune(self, now: datetime) -> None:
        """Forgets what has become old."""
        ...


class Store(Protocol):
    """The registry's database. All of it raises Unavailable (DATABASE_UNAVAILABLE) when the database cannot
    be used."""

    def read(self) -> AbstractAsyncContextManager[Read]:
        """A read-only transaction."""
        ...

    def write(self) -> AbstractAsyncContextManager[Write]:
        """A transaction; committed when the block ends, rolled back when it raises."""
        ...


class Vault(Protocol):
    """Encrypts secrets. What is sealed for one account and purpose opens for no other."""

    def seal(self, plaintext: bytes, account_id: str, purpose: str) -> Sealed:
        """Encrypts with the active key."""
        ...

    def unseal(self, sealed: Sealed, account_id: str, purpose: str) -> bytes:
        """Raises SecretUnreadableError."""
        ...

    def key_ids(self) -> tuple[str, ...]:
        """The master keys at hand, the active one first."""
        ...


class SecretUnreadableError(Exception):
    """A ciphertext that none of the keys at hand opens, or that belongs elsewhere. Its text says which, for a
    person."""


class LeaseStore(Protocol):
    """Who holds which session now. Every method raises Unavailable (ETCD_UNAVAILABLE) within a bounded time
    when the store cannot answer; what a failed call did is then unknown, and repeating it is safe."""

    async def view(self) -> StoreView:
        """What the store is now."""
        ...

    async def set_mirror(self, number: int, seen: int | None, wait: timedelta) -> StoreView | None:
        """Writes the generation if the mirror is still `seen`; None when it is not. For the time of `wait`,
        counted by the store alone and in full again when it restarts, nothing is granted."""
        ...

    async def acquire(
        self,
        owner: Owner,
        request_id: str,
        epoch: Epoch,
        wants: Sequence[Want],
        held: Sequence[HeldLease],
    ) -> AcquireAnswer:
        """Gives each free session to the owner, if the store is of this epoch. A repeat with the same owner
        and request id gives the same tokens. The leases that the answer announces have their full time left
        from when the call arrived; those that the owner named are not extended."""
        ...

    async def renew(self, owner: Owner, generation: int, lease_ids: Sequence[int]) -> RenewAnswer:
        """Extends the leases that exist, are this owner's and of this generation."""
        ...

    async def release(self, owner: Owner, epoch: Epoch, releases: Sequence[Release]) -> ReleaseAnswer:
        """Frees (clean) or lets settle each session that this owner holds by this token. A store of another
        epoch does so too, but its mark stays behind, so that it is found out."""
        ...

    async def holders(self, auth_key_ids: Sequence[str]) -> dict[str, Holder]:
        """Who has these sessions; free ones are left out."""
        ...


class Assignments(Protocol):
    """Says which accounts the scheduler has given a worker."""

    def assigned(self, worker_id: str, signed: Sequence[bytes]) -> frozenset[str]:
        """The accounts in those of the signed assignments that are good and this worker's."""
        ...
