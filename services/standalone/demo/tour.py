"""The acts of the tour, in order. Each shows something through the public gateway and compares it with what
was to be expected; what differs goes into `problems`, and the tour goes on.
"""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from services.runtime.calls import open_call
from services.runtime.tasks import cancel_and_wait
from services.standalone.adapters.gateway import GatewayClient
from services.standalone.demo import checks
from services.standalone.demo.control import Control
from services.standalone.demo.samples import ANSWER, GUEST, QUESTION, SAMPLES
from services.standalone.demo.screen import Screen
from services.standalone.demo.transferring import TransferAct, until_workers
from tgfleet.gateway.v1 import event_pb2, fleet_pb2, result_pb2

_CALL_LIMIT = 60.0
_ANSWER_LIMIT = 10.0
_MOVE_LIMIT = 30.0
_POLL = 0.1
_WORKERS = 2
"""Of a demo fleet."""


@dataclass
class Tour:
    """One tour through a running demo fleet."""

    screen: Screen
    gateway: GatewayClient
    control: Control
    pids: Callable[[], Mapping[str, int]]
    """Who lives now."""
    lease: str
    """T and S, as a few words."""
    problems: list[str] = field(default_factory=list)

    async def run(self) -> None:
        """All acts."""
        self.screen.chapter("The accounts", "One for each thing that can happen to an account.")
        self.screen.cast(SAMPLES)
        await self.chat_before()
        await self.start_all()
        await self.chat_after()
        await self.answer()
        await self.crash()
        await self.transfer()
        await self.judge()

    async def chat_before(self) -> None:
        """Nothing runs, and the fleet says so."""
        self.screen.chapter("StartChat, while nothing runs", "A fleet that stands still is no success.")
        expected = dict.fromkeys((s.name for s in SAMPLES), (result_pb2.OUTCOME_NOT_RUNNING, 0))
        await self._fleet_call(self.gateway.fleet.StartChat, fleet_pb2.StartChatRequest(), expected)

    async def start_all(self) -> None:
        """Every account comes up or says why not, and the data centre's journal agrees."""
        self.screen.chapter(
            "StartAll", "Each account gets exactly one result, as soon as it is known. ✓ means: as expected."
        )
        expected = {sample.name: (sample.outcome, sample.reason) for sample in SAMPLES}
        await self._fleet_call(self.gateway.fleet.StartAll, fleet_pb2.StartAllRequest(), expected)
        denials = await self._journal_denials()
        self._check(denials, "The data centre's own journal agrees with every one of them.")

    async def chat_after(self) -> None:
        """What runs handles chats now."""
        self.screen.chapter("StartChat again")
        expected = {
            s.name: (result_pb2.OUTCOME_CHAT_STARTED if s.runs else result_pb2.OUTCOME_NOT_RUNNING, 0)
            for s in SAMPLES
        }
        await self._fleet_call(self.gateway.fleet.StartChat, fleet_pb2.StartChatRequest(), expected)

    async def answer(self) -> None:
        """A person writes, the account answers, WatchEvents shows both."""
        self.screen.chapter(
            "A chat message is answered", f'A guest writes "{QUESTION}" to {SAMPLES[0].name}.'
        )
        people = await self.control.accounts()
        guest, account = people[GUEST].user_id, people[SAMPLES[0].name].user_id
        async with self._events() as events:
            await self.control.say(guest, account, QUESTION)
            try:
                async with asyncio.timeout(_ANSWER_LIMIT):
                    answered = await self._show_until_answered(events)
            except TimeoutError:
                answered = False
        if not answered:
            self._fault(f"WatchEvents shows no answer within {_ANSWER_LIMIT:.0f} s")
        texts = [message.text for message in await self.control.messages(guest, account)]
        seen = QUESTION in texts and texts[-1] == ANSWER and texts.count(ANSWER) == 1
        wrong = [] if seen else ["the guest did not get exactly one answer"]
        self._check(wrong, f'The guest got "{ANSWER}", once.')

    async def crash(self) -> None:
        """A worker dies, its accounts come up on the other."""
        before = await self._running()
        home = list(before.values())
        victim = max(set(home), key=home.count) if home else "worker-1"
        movers = [name for name, worker in before.items() if worker == victim]
        self.screen.chapter(
            "A worker is killed with -9",
            f"{victim} runs {', '.join(movers)}. Their sessions rest until {self.lease} are over.",
        )
        os.kill(self.pids()[victim], signal.SIGKILL)
        began = time.monotonic()
        waiting = set(movers)
        while waiting and time.monotonic() - began < _MOVE_LIMIT:
            await asyncio.sleep(_POLL)
            now = await self._running()
            for name in sorted(name for name in waiting if now.get(name, victim) != victim):
                waiting.discard(name)
                seconds = time.monotonic() - began
                self.screen.line(f"{name} runs on {now[name]} after {seconds:.1f} s", good=True)
        for name in sorted(waiting):
            self._fault(f"{name} did not come up elsewhere within {_MOVE_LIMIT:.0f} s")
        if not movers:
            self._fault("no worker ran anything")

    async def transfer(self) -> None:
        """Messages are moved while things go wrong, and the data centre says what came of it."""
        if not await until_workers(self.gateway, _WORKERS, _MOVE_LIMIT):
            self._fault("the killed worker did not come back")
        names = tuple(sample.name for sample in SAMPLES if sample.runs)
        act = TransferAct(self.screen, self.gateway, self.control, self.pids, names)
        try:
            await act.play()
        finally:
            self.problems += act.problems

    async def judge(self) -> None:
        """What the data centre itself says about it all."""
        self.screen.chapter(
            "The judge", "The data centre's journal, read by a judge that knows nothing of the fleet."
        )
        shared = frozenset(
            person.auth_key_id
            for name, person in (await self.control.accounts()).items()
            if any(sample.name == name and sample.shared for sample in SAMPLES)
        )
        wrong = checks.forbidden(await self.control.verdict(), shared)
        self._check(wrong, "No session of the fleet was ever used in two places, and no wait was broken.")

    async def _fleet_call(self, method: Any, request: Any, expected: Mapping[str, tuple[int, int]]) -> None:
        results = []
        async for result in self.gateway.results(method, request, _CALL_LIMIT):
            results.append(result)
            outcome, reason = expected.get(result.name, (0, 0))
            difference = checks.differs(result, outcome, reason)
            self.screen.result(result, expected=not difference)
            if difference:
                self.problems.append(difference)
        self.screen.counts(results)
        for problem in checks.missing(SAMPLES, results):
            self._fault(problem)

    async def _journal_denials(self) -> list[str]:
        people, journal = await self.control.accounts(), await self.control.journal()
        denials = []
        for sample in SAMPLES:
            key = people[sample.name].auth_key_id if sample.name in people else ""
            mine = [record for record in journal if key and record.auth_key_id == key]
            stranger = next((record.peer for record in mine if record.peer), "") if sample.shared else ""
            denials.append(checks.journal_denies(sample, key, stranger, mine))
        return [denial for denial in denials if denial]

    async def _running(self) -> dict[str, str]:
        """Which account runs on which worker now."""
        return {
            name: status.worker_id
            for name, status in (await self.gateway.status()).items()
            if status.state == fleet_pb2.SESSION_STATE_RUNNING
        }

    @asynccontextmanager
    async def _events(self) -> AsyncIterator["asyncio.Queue[event_pb2.Event]"]:
        """What happens from now on."""
        events: asyncio.Queue[event_pb2.Event] = asyncio.Queue()
        stands = asyncio.Event()
        watching = asyncio.create_task(self._watch(events, stands))
        try:
            async with asyncio.timeout(_ANSWER_LIMIT):
                await stands.wait()
            yield events
        finally:
            await cancel_and_wait(watching)

    async def _watch(self, events: "asyncio.Queue[event_pb2.Event]", stands: asyncio.Event) -> None:
        method, request = self.gateway.fleet.WatchEvents, fleet_pb2.WatchEventsRequest()
        async with open_call(method, request, metadata=self.gateway.metadata) as call:
            async for message in call:
                stands.set()
                for event in message.events:
                    events.put_nowait(event)

    async def _show_until_answered(self, events: "asyncio.Queue[event_pb2.Event]") -> bool:
        while True:
            event = await events.get()
            match event.WhichOneof("kind"):
                case "message_received":
                    self.screen.line(f'{event.name} received "{event.message_received.text}"')
                case "message_answered":
                    self.screen.line(f'{event.name} answered "{event.message_answered.text}"')
                    return event.message_answered.text == ANSWER

    def _check(self, found: list[str], otherwise: str) -> None:
        """Shows what was found wrong, or that nothing was."""
        for sentence in found:
            self._fault(sentence)
        if not found:
            self.screen.line(otherwise, good=True)

    def _fault(self, sentence: str) -> None:
        """Shows and keeps something that was not to be expected."""
        self.problems.append(sentence)
        self.screen.line(sentence, good=False)
