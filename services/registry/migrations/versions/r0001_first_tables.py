"""The registry's first tables"""

import sqlalchemy as sa
from alembic import op


revision = '0001'
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('accounts',
    sa.Column('account_id', sa.String(), nullable=False),
    sa.Column('name', sa.String(), nullable=False),
    sa.Column('priority', sa.Integer(), nullable=False),
    sa.Column('enabled', sa.Boolean(), nullable=False),
    sa.Column('user_id', sa.BigInteger(), nullable=False),
    sa.Column('auth_key_id', sa.String(), nullable=True),
    sa.Column('session_location', sa.String(), nullable=False),
    sa.Column('home_worker', sa.String(), nullable=False),
    sa.Column('session_file', sa.String(), nullable=False),
    sa.Column('proxy_public', sa.String(), nullable=False),
    sa.Column('api_id', sa.Integer(), nullable=False),
    sa.Column('device_model', sa.String(), nullable=False),
    sa.Column('time_zone', sa.String(), nullable=False),
    sa.Column('chat_policy', sa.Text(), nullable=False),
    sa.Column('wanted_running', sa.Boolean(), nullable=False),
    sa.Column('wanted_chatting', sa.Boolean(), nullable=False),
    sa.Column('block_reason', sa.String(), nullable=False),
    sa.Column('block_cause', sa.String(), nullable=False),
    sa.Column('block_detail', sa.String(), nullable=False),
    sa.Column('block_retry_time', sa.DateTime(timezone=True), nullable=True),
    sa.Column('block_since', sa.DateTime(timezone=True), nullable=True),
    sa.Column('settle_ms', sa.BigInteger(), nullable=True),
    sa.Column('crash_streak', sa.Integer(), nullable=False),
    sa.Column('last_worker_id', sa.String(), nullable=False),
    sa.Column('create_time', sa.DateTime(timezone=True), nullable=False),
    sa.Column('update_time', sa.DateTime(timezone=True), nullable=False),
    sa.Column('revision', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('account_id', name=op.f('pk_accounts')),
    sa.UniqueConstraint('auth_key_id', name=op.f('uq_accounts_auth_key_id')),
    sa.UniqueConstraint('name', name=op.f('uq_accounts_name'))
    )
    with op.batch_alter_table('accounts', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_accounts_revision'), ['revision'], unique=False)

    op.create_table('api_tokens',
    sa.Column('name', sa.String(), nullable=False),
    sa.Column('secret_hash', sa.LargeBinary(length=32), nullable=False),
    sa.Column('role', sa.String(), nullable=False),
    sa.Column('create_time', sa.DateTime(timezone=True), nullable=False),
    sa.Column('expire_time', sa.DateTime(timezone=True), nullable=True),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_api_tokens')),
    sa.UniqueConstraint('secret_hash', name=op.f('uq_api_tokens_secret_hash'))
    )
    op.create_table('deleted_accounts',
    sa.Column('account_id', sa.String(), nullable=False),
    sa.Column('revision', sa.BigInteger(), nullable=False),
    sa.Column('time', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('account_id', name=op.f('pk_deleted_accounts'))
    )
    with op.batch_alter_table('deleted_accounts', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_deleted_accounts_revision'), ['revision'], unique=False)

    op.create_table('fleet',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('revision', sa.BigInteger(), nullable=False),
    sa.Column('starts_stopped', sa.String(), nullable=False),
    sa.Column('resumed_time', sa.DateTime(timezone=True), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_fleet'))
    )
    op.create_table('imports',
    sa.Column('request_id', sa.String(), nullable=False),
    sa.Column('fingerprint', sa.LargeBinary(length=32), nullable=False),
    sa.Column('results', sa.Text(), nullable=False),
    sa.Column('time', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('request_id', name=op.f('pk_imports'))
    )
    with op.batch_alter_table('imports', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_imports_time'), ['time'], unique=False)

    op.create_table('lease_generation',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('number', sa.BigInteger(), nullable=False),
    sa.Column('opened_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('cluster_id', sa.String(), nullable=False),
    sa.Column('high_water', sa.BigInteger(), nullable=False),
    sa.Column('mirrored', sa.Boolean(), nullable=False),
    sa.Column('waits', sa.Boolean(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_lease_generation'))
    )
    op.create_table('seen_facts',
    sa.Column('fact_id', sa.String(), nullable=False),
    sa.Column('time', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('fact_id', name=op.f('pk_seen_facts'))
    )
    with op.batch_alter_table('seen_facts', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_seen_facts_time'), ['time'], unique=False)

    op.create_table('session_deaths',
    sa.Column('fact_id', sa.String(), nullable=False),
    sa.Column('account_id', sa.String(), nullable=False),
    sa.Column('auth_key_id', sa.String(), nullable=False),
    sa.Column('reason', sa.String(), nullable=False),
    sa.Column('worker_id', sa.String(), nullable=False),
    sa.Column('time', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('fact_id', name=op.f('pk_session_deaths'))
    )
    with op.batch_alter_table('session_deaths', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_session_deaths_time'), ['time'], unique=False)

    op.create_table('account_labels',
    sa.Column('account_id', sa.String(), nullable=False),
    sa.Column('key', sa.String(), nullable=False),
    sa.Column('value', sa.String(), nullable=False),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.account_id'], name=op.f('fk_account_labels_account_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('account_id', 'key', name=op.f('pk_account_labels'))
    )
    with op.batch_alter_table('account_labels', schema=None) as batch_op:
        batch_op.create_index('ix_account_labels_key_value', ['key', 'value'], unique=False)

    op.create_table('account_secrets',
    sa.Column('account_id', sa.String(), nullable=False),
    sa.Column('purpose', sa.String(), nullable=False),
    sa.Column('key_id', sa.String(), nullable=False),
    sa.Column('nonce', sa.LargeBinary(), nullable=False),
    sa.Column('ciphertext', sa.LargeBinary(), nullable=False),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.account_id'], name=op.f('fk_account_secrets_account_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('account_id', 'purpose', name=op.f('pk_account_secrets'))
    )
    op.create_table('chat_counts',
    sa.Column('account_id', sa.String(), nullable=False),
    sa.Column('day', sa.String(), nullable=False),
    sa.Column('incarnation', sa.String(), nullable=False),
    sa.Column('received', sa.BigInteger(), nullable=False),
    sa.Column('answered', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.account_id'], name=op.f('fk_chat_counts_account_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('account_id', 'day', 'incarnation', name=op.f('pk_chat_counts'))
    )
    op.create_table('flood_waits',
    sa.Column('account_id', sa.String(), nullable=False),
    sa.Column('method', sa.String(), nullable=False),
    sa.Column('chat_id', sa.BigInteger(), nullable=False),
    sa.Column('until_time', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.account_id'], name=op.f('fk_flood_waits_account_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('account_id', 'method', 'chat_id', name=op.f('pk_flood_waits'))
    )
    op.create_table('link_history',
    sa.Column('fact_id', sa.String(), nullable=False),
    sa.Column('account_id', sa.String(), nullable=False),
    sa.Column('worker_id', sa.String(), nullable=False),
    sa.Column('time', sa.DateTime(timezone=True), nullable=False),
    sa.Column('cause', sa.String(), nullable=False),
    sa.Column('uptime_ms', sa.BigInteger(), nullable=False),
    sa.Column('downtime_ms', sa.BigInteger(), nullable=True),
    sa.Column('reconnected', sa.Boolean(), nullable=False),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.account_id'], name=op.f('fk_link_history_account_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('fact_id', name=op.f('pk_link_history'))
    )
    with op.batch_alter_table('link_history', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_link_history_account_id'), ['account_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_link_history_time'), ['time'], unique=False)

    op.execute("INSERT INTO fleet (id, revision, starts_stopped, resumed_time) VALUES (1, 0, '', NULL)")


def downgrade() -> None:
    with op.batch_alter_table('link_history', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_link_history_time'))
        batch_op.drop_index(batch_op.f('ix_link_history_account_id'))

    op.drop_table('link_history')
    op.drop_table('flood_waits')
    op.drop_table('chat_counts')
    op.drop_table('account_secrets')
    with op.batch_alter_table('account_labels', schema=None) as batch_op:
        batch_op.drop_index('ix_account_labels_key_value')

    op.drop_table('account_labels')
    with op.batch_alter_table('session_deaths', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_session_deaths_time'))

    op.drop_table('session_deaths')
    with op.batch_alter_table('seen_facts', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_seen_facts_time'))

    op.drop_table('seen_facts')
    op.drop_table('lease_generation')
    with op.batch_alter_table('imports', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_imports_time'))

    op.drop_table('imports')
    op.drop_table('fleet')
    with op.batch_alter_table('deleted_accounts', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_deleted_accounts_revision'))

    op.drop_table('deleted_accounts')
    op.drop_table('api_tokens')
    with op.batch_alter_table('accounts', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_accounts_revision'))

    op.drop_table('accounts')
