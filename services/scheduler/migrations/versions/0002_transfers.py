"""Transfers: shards, open batches, refused messages, waits, usage and what was learned.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def _text(name: str) -> sa.Column:
    return sa.Column(name, sa.String(), nullable=False)


def _integer(name: str) -> sa.Column:
    return sa.Column(name, sa.Integer(), nullable=False)


def _big(name: str) -> sa.Column:
    return sa.Column(name, sa.BigInteger(), nullable=False)


def _float(name: str) -> sa.Column:
    return sa.Column(name, sa.Float(), nullable=False)


def _bytes(name: str) -> sa.Column:
    return sa.Column(name, sa.LargeBinary(), nullable=False)


def upgrade() -> None:
    op.add_column("leadership", sa.Column("commits", sa.Integer(), nullable=False, server_default="0"))
    op.create_table(
        "transfers",
        _text("transfer_id"),
        sa.Column("request_id", sa.String(), nullable=True),
        _text("spec"),
        _text("source"),
        _text("target"),
        _big("target_key"),
        _integer("state"),
        _integer("wish"),
        _float("created"),
        _text("reason"),
        _text("detail"),
        _text("action"),
        _float("wake"),
        _float("ended"),
        _text("candidates"),
        sa.PrimaryKeyConstraint("transfer_id"),
        sa.UniqueConstraint("request_id"),
    )
    op.create_index("ix_transfers_created", "transfers", ["created", "transfer_id"])
    op.create_index("ix_transfers_ended", "transfers", ["ended"])
    op.create_table(
        "transfer_shards",
        _text("transfer_id"),
        _integer("shard"),
        _integer("first_id"),
        _integer("last_id"),
        _integer("checkpoint"),
        _integer("next_batch"),
        _big("done"),
        _text("skipped"),
        _text("account_id"),
        sa.Column("finished", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("transfer_id", "shard"),
    )
    op.create_table(
        "transfer_batches",
        _text("transfer_id"),
        _integer("shard"),
        _big("batch"),
        _integer("state"),
        _text("account_id"),
        _bytes("message_ids"),
        _bytes("random_ids"),
        _bytes("target_ids"),
        _integer("target_top_id"),
        _integer("through_id"),
        _text("skipped"),
        _text("order_id"),
        _integer("attempt"),
        _float("first_sent"),
        _text("refused"),
        _text("detail"),
        sa.PrimaryKeyConstraint("transfer_id", "shard", "batch"),
    )
    op.create_table(
        "transfer_refused",
        _text("transfer_id"),
        _integer("message_id"),
        _text("reason"),
        sa.PrimaryKeyConstraint("transfer_id", "message_id"),
    )
    op.create_table(
        "transfer_waits",
        _text("account_id"),
        _text("method"),
        _big("chat_id"),
        _float("until"),
        _float("seconds"),
        sa.PrimaryKeyConstraint("account_id", "method", "chat_id"),
    )
    op.create_table(
        "transfer_usage",
        _text("account_id"),
        _text("day"),
        _big("reserved"),
        _big("sent"),
        _big("total"),
        sa.PrimaryKeyConstraint("account_id"),
    )
    op.create_table(
        "transfer_models",
        _text("account_id"),
        _text("method"),
        _text("state"),
        sa.PrimaryKeyConstraint("account_id", "method"),
    )
    op.create_table(
        "transfer_targets",
        _big("target_key"),
        _float("minute"),
        _big("count"),
        sa.PrimaryKeyConstraint("target_key", "minute"),
    )
    op.create_table("transfer_unlendable", _text("account_id"), sa.PrimaryKeyConstraint("account_id"))


def downgrade() -> None:
    for table in ("unlendable", "targets", "models", "usage", "waits", "refused", "batches", "shards"):
        op.drop_table(f"transfer_{table}")
    op.drop_table("transfers")
    with op.batch_alter_table("leadership") as table:
        table.drop_column("commits")
