"""Wishes are counted apart from other changes of an account, so that watchers are told of them in few words"""

import sqlalchemy as sa
from alembic import op


revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('accounts', sa.Column('wish_revision', sa.BigInteger(), server_default='0', nullable=False))
    op.create_index('ix_accounts_wish_revision', 'accounts', ['wish_revision'], unique=False)


def downgrade() -> None:
    op.drop_index('ix_accounts_wish_revision', 'accounts')
    # Not in a batch: that makes the table anew on SQLite, and dropping the old one takes all that refers to it.
    op.drop_column('accounts', 'wish_revision')
