"""Wishes are counted apart from other changes of an account, so that watchers are told of them in few words"""

import sqlalchemy as sa
from alembic import op


revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table('accounts', schema=None) as batch_op:
        batch_op.add_column(sa.Column('wish_revision', sa.BigInteger(), server_default='0', nullable=False))
        batch_op.create_index('ix_accounts_wish_revision', ['wish_revision'], unique=False)


def downgrade() -> None:
    with op.batch_alter_table('accounts', schema=None) as batch_op:
        batch_op.drop_index('ix_accounts_wish_revision')
        batch_op.drop_column('wish_revision')
