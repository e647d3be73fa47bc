"""What Alembic runs for each command. The connection is handed in: nothing here opens a database."""

from alembic import context

from services.registry.adapters.models import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    version_table=context.config.attributes["version_table"],
    compare_type=True,
    render_as_batch=True,  # SQLite cannot alter a table in place
)
with context.begin_transaction():
    context.run_migrations()
