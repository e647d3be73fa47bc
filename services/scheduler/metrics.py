"""What Prometheus can be told of the scheduler, beside the figures of every RPC that the runtime keeps."""

from services.runtime.metrics import counter, gauge, histogram

TERM = gauge("scheduler_term", "The term that this process leads, 0 while it stands by.")
WORKERS = gauge("scheduler_workers", "Workers whose stream is up.")
RESULTS = counter("scheduler_results", "Results of fleet calls.", ("kind", "outcome", "reason"))
COMMANDS = counter("scheduler_commands", "Commands sent to workers.", ("command",))
COMMITS = counter(
    "scheduler_transfer_commits", "Commits of transfers; those that share a transaction count each."
)
COMMIT_SECONDS = histogram("scheduler_transfer_commit_seconds", "How long a transaction of transfers took.")
ORDERS = counter("scheduler_transfer_orders", "Transfer orders given to workers.", ("kind",))
ANSWERS = counter("scheduler_transfer_answers", "Workers' answers to transfer orders.", ("answer",))
BATCHES = counter("scheduler_transfer_batches", "Batches by what they came to.", ("state",))
MESSAGES = counter("scheduler_transfer_messages", "Messages that transfers moved.")
WAITS = counter("scheduler_transfer_waits", "Waits that Telegram imposed in transfers.", ("method",))
UNDECIDED = gauge(
    "scheduler_transfer_undecided", "Batches that wait for a person's decision, or their account."
)
TRANSFERS = gauge("scheduler_transfers", "Transfers that have not ended, by state.", ("state",))
