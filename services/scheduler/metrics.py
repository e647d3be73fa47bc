"""What Prometheus can be told of the scheduler, beside the figures of every RPC that the runtime keeps."""

from services.runtime.metrics import counter, gauge

TERM = gauge("scheduler_term", "The term that this process leads, 0 while it stands by.")
WORKERS = gauge("scheduler_workers", "Workers whose stream is up.")
RESULTS = counter("scheduler_results", "Results of fleet calls.", ("kind", "outcome", "reason"))
COMMANDS = counter("scheduler_commands", "Commands sent to workers.", ("command",))
