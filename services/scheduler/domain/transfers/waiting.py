"""Waits that Telegram imposes on reading, as a worker tells them: whoever reads for a shard or looks for a
batch goes by these. Sending has its own way (`answers.py`), since there a wait is a proof as well.
"""

from services.scheduler.domain.transfers.orders import Answer, OrderNotDone, OrderRefused
from services.scheduler.domain.transfers.refusals import HISTORY, Meaning, meaning
from services.scheduler.domain.transfers.state import Desk

NUMBERLESS = 60
"""Seconds that a flood error without a number counts as (TELEGRAM.md section 2)."""


_LEAST = 1.0


def until_retry(desk: Desk, answer: OrderNotDone) -> float:
    """Seconds until a worker would begin it: at least one, since its clock may be another."""
    return max(_LEAST, answer.retry - desk.wall)


def note_wait(desk: Desk, account_id: str, answer: Answer | None) -> bool:
    """Whether the answer to a reading was a wait; then nobody reads with that account before it ends."""
    if isinstance(answer, OrderNotDone) and answer.cause == "FLOOD_WAIT":
        method, seconds = HISTORY, until_retry(desk, answer)
    elif isinstance(answer, OrderRefused) and meaning(answer) in {Meaning.WAIT, Meaning.WAIT_CHAT}:
        method, seconds = answer.method or HISTORY, float(answer.seconds or NUMBERLESS)
    else:
        return False
    desk.saver.wait(desk.pool.wait(account_id, method, 0, seconds, now=desk.now, wall=desk.wall))
    if method != HISTORY:  # a call on the way to it: reading cannot go on either
        desk.pool.wait(account_id, HISTORY, 0, seconds, now=desk.now, wall=desk.wall)
    return True
