"""How much transfers may ask of an account"""

import sqlalchemy as sa
from alembic import op


revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None

# Not in batch mode: it would make the table anew, and dropping the old one takes labels and secrets with it (CASCADE).


def upgrade() -> None:
    nothing = '{"daily_cap":0,"allowed_hours":[]}'
    op.add_column('accounts', sa.Column('transfer_policy', sa.Text(), server_default=nothing, nullable=False))


def downgrade() -> None:
    op.drop_column('accounts', 'transfer_policy')
