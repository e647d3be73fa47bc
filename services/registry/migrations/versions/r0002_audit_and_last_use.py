"""When a token was used last; the audit trail; which key seals what, quickly counted"""

import sqlalchemy as sa
from alembic import op


revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('audit_entries',
    sa.Column('entry_id', sa.String(), nullable=False),
    sa.Column('time', sa.DateTime(timezone=True), nullable=False),
    sa.Column('token_name', sa.String(), nullable=False),
    sa.Column('role', sa.String(), nullable=False),
    sa.Column('peer', sa.String(), nullable=False),
    sa.Column('method', sa.String(), nullable=False),
    sa.Column('targets', sa.Text(), nullable=False),
    sa.Column('outcome', sa.String(), nullable=False),
    sa.Column('reason', sa.String(), nullable=False),
    sa.Column('detail', sa.Text(), nullable=False),
    sa.Column('request_id', sa.String(), nullable=False),
    sa.PrimaryKeyConstraint('entry_id', name=op.f('pk_audit_entries'))
    )
    with op.batch_alter_table('audit_entries', schema=None) as batch_op:
        batch_op.create_index('ix_audit_entries_time_entry_id', ['time', 'entry_id'], unique=False)
    with op.batch_alter_table('account_secrets', schema=None) as batch_op:
        batch_op.create_index('ix_account_secrets_key_id', ['key_id'], unique=False)
    op.add_column('api_tokens', sa.Column('last_use_time', sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table('api_tokens', schema=None) as batch_op:
        batch_op.drop_column('last_use_time')
    with op.batch_alter_table('account_secrets', schema=None) as batch_op:
        batch_op.drop_index('ix_account_secrets_key_id')
    with op.batch_alter_table('audit_entries', schema=None) as batch_op:
        batch_op.drop_index('ix_audit_entries_time_entry_id')
    op.drop_table('audit_entries')
