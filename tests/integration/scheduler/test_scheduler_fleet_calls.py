"""The four fleet calls against a real scheduler process."""

from __future__ import annotations

from collections.abc import Callable

from tests.integration.scheduler.calls import START_ALL, START_CHAT, STOP_ALL, STOP_CHAT, fleet_call
from tests.integration.scheduler.processes import Scheduler
from tests.integration.scheduler.stubs import StubRegistry, StubWorker


async def test_all_four_calls_tell_the_truth(
    registry: StubRegistry, make_scheduler: Callable[..., Scheduler], make_worker: Callable[..., StubWorker]
) -> None:
    registry.add("ann")
    registry.add("bob")
    registry.add("cut", enabled=False)
    scheduler = make_scheduler()
    await scheduler.serving()
    worker = make_worker("w1", scheduler).start()
    await worker.attached.wait()

    nothing = dict.fromkeys(("ann", "bob", "cut"), "NOT_RUNNING")
    assert (await fleet_call(scheduler, START_CHAT)).outcomes == nothing
    assert worker.commands[1:] == []  # the first tells of the fleet's users

    first = await fleet_call(scheduler, START_ALL)
    assert len(first.selected) == 3
    assert first.outcomes == {"ann": "STARTED", "bob": "STARTED", "cut": "SKIPPED/DISABLED"}
    again = await fleet_call(scheduler, START_ALL)
    assert again.outcomes == {"ann": "ALREADY_RUNNING", "bob": "ALREADY_RUNNING", "cut": "SKIPPED/DISABLED"}

    chat = await fleet_call(scheduler, START_CHAT, ["ann"])
    assert chat.outcomes == {"ann": "CHAT_STARTED"}
    assert (await fleet_call(scheduler, START_CHAT, ["ann"])).outcomes == {"ann": "ALREADY_CHATTING"}
    assert (await fleet_call(scheduler, STOP_CHAT, ["ann"])).outcomes == {"ann": "CHAT_STOPPED"}
    assert (await fleet_call(scheduler, STOP_CHAT, ["ann"])).outcomes == {"ann": "NOT_CHATTING"}

    assert (await fleet_call(scheduler, STOP_ALL, ["ann"])).outcomes == {"ann": "STOPPED"}
    assert (await fleet_call(scheduler, STOP_ALL, ["ann"])).outcomes == {"ann": "ALREADY_STOPPED"}
    assert list(worker.sessions) == [registry_id(registry, "bob")]
    assert await scheduler.stop() == 0


def registry_id(registry: StubRegistry, name: str) -> str:
    return next(key for key, record in registry.accounts.items() if record.account.name == name)
