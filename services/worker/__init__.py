"""The worker: one process that runs many Telegram clients under leases of the registry, as the scheduler
commands."""
