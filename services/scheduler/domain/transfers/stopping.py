"""What stops a whole transfer: it fails, or it pauses by itself. Only notes that; `transfers.py` carries it
out once the batches that are out are settled.
"""

from services.scheduler.domain.transfers.records import Wish
from services.scheduler.domain.transfers.state import Desk, Transfer


def fail(desk: Desk, transfer: Transfer, reason: str, detail: str, action: str) -> None:
    """It cannot go on, ever."""
    if transfer.failing is None:
        transfer.failing = (reason, detail, action)
        desk.touch_all(transfer)


def pause_all(desk: Desk, transfer: Transfer, reason: str, detail: str, action: str) -> None:
    """It pauses until a person resumes it."""
    record = transfer.record
    if record.wish is Wish.RUN:
        record.wish = Wish.PAUSE
        record.reason, record.detail, record.action = reason, detail, action
        desk.saver.transfer(record)
        desk.note(transfer)
    desk.touch_all(transfer)
