"""Which account a shard works with: taken, kept for a while, given back, and borrowed from the fleet when
none runs. Who is chosen is the pool's matter.
"""

from services.scheduler.domain.transfers import commands as c
from services.scheduler.domain.transfers.choosing.words import Ask, Nobody
from services.scheduler.domain.transfers.refusals import FORWARD, HISTORY
from services.scheduler.domain.transfers.sentences import nobody
from services.scheduler.domain.transfers.state import Desk, Shard, Transfer

_SOONEST = 0.1
"""Seconds until a shard that waits for an account asks by itself again at the earliest."""
_STARTING = 30.0
"""Seconds after which an account that was to start is believed not to."""


def ask_of(transfer: Transfer, prefer: str = "", count: int = 1, *, reading: bool = False) -> Ask:
    """The question who may send now; with `reading`, who may read as well."""
    return Ask(
        transfer.record.transfer_id,
        FORWARD,
        transfer.record.target.chat_id,
        transfer.account_ids,
        prefer=prefer,
        count=count,
        only_running=transfer.record.spec.only_running,
        also=(HISTORY,) if reading else (),
    )


def hold(desk: Desk, shard: Shard, count: int) -> int:
    """How many messages may be sent now with the account that it has, or gets by this; at least `count`. 0
    when there is none: then the shard says why, and stands in line."""
    ask = ask_of(shard.transfer, shard.record.account_id, count, reading=not shard.intake.units)
    if shard.account_id:
        allowance = _kept(desk, shard, ask)
        if allowance >= count:
            return allowance
        release(desk, shard)
    choice = desk.pool.choose(ask, desk.now, desk.wall)
    if isinstance(choice, Nobody):
        _stand_in_line(desk, shard, choice.reason, nobody(choice.reason, choice.detail), choice.wake)
        return 0
    if not choice.running:
        borrow(desk, choice.account_id)
        name = _name(desk, choice.account_id)
        _stand_in_line(desk, shard, "STARTING", f"{name} is being started.", desk.now + _STARTING)
        return 0
    if not take(desk, shard, choice.account_id):
        _stand_in_line(desk, shard, "BUSY", "All accounts are busy with other transfers.", desk.now + 1.0)
        return 0
    return choice.allowance


def take(desk: Desk, shard: Shard, account_id: str) -> bool:
    """Occupies an account. False when somebody else has it."""
    if shard.account_id == account_id:
        return True
    if not desk.pool.occupy(account_id, shard.key):
        return False
    release(desk, shard)
    shard.account_id = account_id
    shard.turn = 0
    desk.waiting.pop(shard, None)
    view = desk.accounts.get(account_id)
    if view is not None and not view.wanted and not shard.transfer.record.spec.only_running:
        borrow(desk, account_id)  # nobody else keeps it running
    return True


def release(desk: Desk, shard: Shard) -> None:
    """Gives its account back."""
    if not shard.account_id:
        return
    desk.pool.free(shard.account_id, shard.key)
    desk.freed.append(shard.account_id)
    if shard.account_id in desk.borrowed:
        _used(desk, shard.account_id)
    shard.account_id = ""
    shard.reading = shard.inspecting = ""  # what it still reads is of no use: whoever is next reads anew


def borrow(desk: Desk, account_id: str) -> None:
    """Has it started, or kept running, although nobody wants it."""
    desk.out.append(c.Borrow(account_id))
    _used(desk, account_id)


def idle(desk: Desk, account_id: str) -> None:
    """Gives a borrowed account back to the fleet when it had no work for long."""
    since = desk.borrowed.get(account_id)
    if since is None or any(shard.account_id == account_id for shard in desk.shards()):
        return
    if desk.now - since >= desk.rules.idle_release:
        del desk.borrowed[account_id]
        desk.out.append(c.GiveBack(account_id))


def must_yield(desk: Desk, shard: Shard) -> bool:
    """Whether it had its turn, and another shard that waits might use the account."""
    return shard.turn >= desk.rules.turn and any(
        shard.account_id in other.transfer.account_ids for other in desk.waiting
    )


def give_turn(desk: Desk, shard: Shard) -> None:
    """Gives the account to those who wait, and stands in line again."""
    release(desk, shard)
    _stand_in_line(desk, shard, "BUSY", "Other transfers have their turn.", desk.now + 1.0)


def serve(desk: Desk, account_id: str) -> list[Shard]:
    """Who may want an account that became free, the longest waiting first."""
    return [shard for shard in desk.waiting if account_id in shard.transfer.account_ids]


def runs(desk: Desk, account_id: str) -> bool:
    """Whether the account runs, as far as is known."""
    view = desk.accounts.get(account_id)
    return view is not None and view.running


def _kept(desk: Desk, shard: Shard, ask: Ask) -> int:
    if not runs(desk, shard.account_id):
        return 0
    return desk.pool.allowance(ask, shard.account_id, shard.key, desk.now, desk.wall)


def _used(desk: Desk, account_id: str) -> None:
    desk.borrowed[account_id] = desk.now
    desk.timers.set(desk.now + desk.rules.idle_release, "idle", account_id)


def _stand_in_line(desk: Desk, shard: Shard, reason: str, detail: str, wake: float | None) -> None:
    shard.reason, shard.detail, shard.wake = reason, detail, wake
    desk.waiting.setdefault(shard)
    if wake is not None:
        wake = max(wake, desk.now + _SOONEST)
        desk.wake_at(shard, wake)


def _name(desk: Desk, account_id: str) -> str:
    view = desk.accounts.get(account_id)
    return view.name if view is not None else account_id
