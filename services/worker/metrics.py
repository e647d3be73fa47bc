"""The worker's figures. Labels have few values and never name an account."""

from services.runtime.metrics import counter, gauge

SESSIONS = gauge("tgfleet_worker_sessions", "Sessions on this worker, by state.", ("state",))
STARTS = counter("tgfleet_worker_starts", "Starts that ended, by what became of them.", ("outcome", "reason"))
LINKS_LOST = counter("tgfleet_worker_links_lost", "Links to Telegram that ended, by cause.", ("cause",))
LEASES_LOST = counter("tgfleet_worker_leases_lost", "Leases whose sessions had to be fenced.")
MESSAGES = counter("tgfleet_worker_messages", "Messages received and answered by chat handling.", ("what",))
FACTS_WAITING = gauge("tgfleet_worker_facts_waiting", "Facts that the registry has not acknowledged.")
RELEASES_WAITING = gauge(
    "tgfleet_worker_releases_waiting", "Releases that the registry has not acknowledged."
)
TRANSFER_ORDERS = counter(
    "tgfleet_worker_transfer_orders",
    "Transfer orders, by kind and by what became of them.",
    ("kind", "answer"),
)
