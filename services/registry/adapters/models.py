"""The registry's tables, as SQLModel. Migrations are made from them; a test checks that both agree.

Management and migrations use the models, hot paths the tables below (`ACCOUNTS`, ...) with Core statements in
batches. Rows of accounts are stamped with the revision of their last change, deleted ones leave a tombstone,
so that watchers can go on from any revision. Wishes (`set_wanted`) are stamped apart, as they change for the
whole fleet at once and watchers are told of them in few words.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Column, ForeignKey, Index, LargeBinary, MetaData, Table, Text
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

from services.registry.adapters.columns import UtcDateTime

_NAMING = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}
METADATA = MetaData(naming_convention=_NAMING)


class RegistryModel(SQLModel, registry=registry(metadata=METADATA)):
    """Base of the registry's tables; keeps them apart from those of other services in one process."""


def _time(*, nullable: bool = False) -> Column[Any]:
    return Column(UtcDateTime(), nullable=nullable)


def _account_key() -> Column[Any]:
    return Column(ForeignKey("accounts.account_id", ondelete="CASCADE"), primary_key=True)


class AccountRow(RegistryModel, table=True):
    """An account; see domain.account.Account."""

    __tablename__ = "accounts"
    account_id: str = Field(primary_key=True)
    name: str = Field(unique=True)
    priority: int
    enabled: bool
    user_id: int = Field(sa_type=BigInteger)
    auth_key_id: str | None = Field(unique=True)
    session_location: str
    home_worker: str
    session_file: str
    proxy_public: str
    api_id: int
    device_model: str
    time_zone: str
    chat_policy: str = Field(sa_column=Column(Text, nullable=False))
    transfer_policy: str = Field(sa_column=Column(Text, nullable=False))
    wanted_running: bool
    wanted_chatting: bool
    block_reason: str
    block_cause: str
    block_detail: str
    block_retry_time: datetime | None = Field(sa_column=_time(nullable=True))
    block_since: datetime | None = Field(sa_column=_time(nullable=True))
    settle_ms: int | None = Field(sa_type=BigInteger)
    crash_streak: int
    last_worker_id: str
    create_time: datetime = Field(sa_column=_time())
    update_time: datetime = Field(sa_column=_time())
    revision: int = Field(sa_type=BigInteger, index=True)
    wish_revision: int = Field(sa_column=Column(BigInteger, nullable=False, server_default="0", index=True))


class LabelRow(RegistryModel, table=True):
    """One label of one account."""

    __tablename__ = "account_labels"
    __table_args__ = (Index("ix_account_labels_key_value", "key", "value"),)
    account_id: str = Field(sa_column=_account_key())
    key: str = Field(primary_key=True)
    value: str


class SecretRow(RegistryModel, table=True):
    """A ciphertext. `purpose` is `session` or `proxy`; table, purpose and account are bound into it."""

    __tablename__ = "account_secrets"
    __table_args__ = (Index("ix_account_secrets_key_id", "key_id"),)
    account_id: str = Field(sa_column=_account_key())
    purpose: str = Field(primary_key=True)
    key_id: str
    nonce: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    ciphertext: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class TombstoneRow(RegistryModel, table=True):
    """An account that was deleted, and the revision at which it was."""

    __tablename__ = "deleted_accounts"
    account_id: str = Field(primary_key=True)
    revision: int = Field(sa_type=BigInteger, index=True)
    time: datetime = Field(sa_column=_time())


class FleetRow(RegistryModel, table=True):
    """The one row (id 1) of what counts for the whole fleet."""

    __tablename__ = "fleet"
    id: int = Field(primary_key=True)
    revision: int = Field(sa_type=BigInteger)
    starts_stopped: str
    resumed_time: datetime | None = Field(sa_column=_time(nullable=True))


class GenerationRow(RegistryModel, table=True):
    """The one row (id 1) of the lease store's generation; see domain.leasing.Generation."""

    __tablename__ = "lease_generation"
    id: int = Field(primary_key=True)
    number: int = Field(sa_type=BigInteger)
    opened_at: datetime = Field(sa_column=_time())
    cluster_id: str  # an unsigned 64-bit number
    high_water: int = Field(sa_type=BigInteger)
    mirrored: bool
    waits: bool


class FloodWaitRow(RegistryModel, table=True):
    """A wait that Telegram imposed."""

    __tablename__ = "flood_waits"
    account_id: str = Field(sa_column=_account_key())
    method: str = Field(primary_key=True)
    chat_id: int = Field(sa_type=BigInteger, primary_key=True)
    until_time: datetime = Field(sa_column=_time())


class SeenFactRow(RegistryModel, table=True):
    """A fact that was counted; forgotten after some days."""

    __tablename__ = "seen_facts"
    fact_id: str = Field(primary_key=True)
    time: datetime = Field(sa_column=Column(UtcDateTime(), nullable=False, index=True))


class ChatCountRow(RegistryModel, table=True):
    """What one process counted for one account on one of its days."""

    __tablename__ = "chat_counts"
    account_id: str = Field(sa_column=_account_key())
    day: str = Field(primary_key=True)
    incarnation: str = Field(primary_key=True)
    received: int = Field(sa_type=BigInteger)
    answered: int = Field(sa_type=BigInteger)


class LinkRow(RegistryModel, table=True):
    """A link that ended: the connection history of an account."""

    __tablename__ = "link_history"
    fact_id: str = Field(primary_key=True)
    account_id: str = Field(
        sa_column=Column(ForeignKey("accounts.account_id", ondelete="CASCADE"), nullable=False, index=True)
    )
    worker_id: str
    time: datetime = Field(sa_column=Column(UtcDateTime(), nullable=False, index=True))
    cause: str
    uptime_ms: int = Field(sa_type=BigInteger)
    downtime_ms: int | None = Field(sa_type=BigInteger)
    reconnected: bool


class DeathRow(RegistryModel, table=True):
    """A session that Telegram refused: who had it, and when. Outlives its account, as evidence."""

    __tablename__ = "session_deaths"
    fact_id: str = Field(primary_key=True)
    account_id: str
    auth_key_id: str
    reason: str
    worker_id: str
    time: datetime = Field(sa_column=Column(UtcDateTime(), nullable=False, index=True))


class ApiTokenRow(RegistryModel, table=True):
    """A bearer token, by the hash of its secret."""

    __tablename__ = "api_tokens"
    name: str = Field(primary_key=True)
    secret_hash: bytes = Field(sa_column=Column(LargeBinary(32), nullable=False, unique=True))
    role: str
    create_time: datetime = Field(sa_column=_time())
    expire_time: datetime | None = Field(sa_column=_time(nullable=True))
    last_use_time: datetime | None = Field(sa_column=_time(nullable=True))


class AuditRow(RegistryModel, table=True):
    """A call that changed something, or was refused to; see domain.audit.Entry. `targets` is a JSON list."""

    __tablename__ = "audit_entries"
    __table_args__ = (Index("ix_audit_entries_time_entry_id", "time", "entry_id"),)
    entry_id: str = Field(primary_key=True)
    time: datetime = Field(sa_column=_time())
    token_name: str
    role: str
    peer: str
    method: str
    targets: str = Field(sa_column=Column(Text, nullable=False))
    outcome: str
    reason: str
    detail: str = Field(sa_column=Column(Text, nullable=False))
    request_id: str


class ImportRow(RegistryModel, table=True):
    """What an import answered, so that a repeat answers the same. `fingerprint` tells another request
    apart."""

    __tablename__ = "imports"
    request_id: str = Field(primary_key=True)
    fingerprint: bytes = Field(sa_column=Column(LargeBinary(32), nullable=False))
    results: str = Field(sa_column=Column(Text, nullable=False))
    time: datetime = Field(sa_column=Column(UtcDateTime(), nullable=False, index=True))


def _table(name: str) -> Table:
    return METADATA.tables[name]


ACCOUNTS = _table("accounts")
LABELS = _table("account_labels")
SECRETS = _table("account_secrets")
TOMBSTONES = _table("deleted_accounts")
FLEET = _table("fleet")
GENERATION = _table("lease_generation")
FLOODS = _table("flood_waits")
SEEN_FACTS = _table("seen_facts")
CHAT_COUNTS = _table("chat_counts")
LINKS = _table("link_history")
DEATHS = _table("session_deaths")
TOKENS = _table("api_tokens")
IMPORTS = _table("imports")
AUDIT = _table("audit_entries")
