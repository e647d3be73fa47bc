"""Asking about transfers over changes of leader, in virtual time."""

import asyncio
import random
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest

from services.gateway.domain.chat_names import chat_key
from services.gateway.domain.forms import BadForm
from services.gateway.handlers.transfers import REASK_SECONDS, REATTACH_SECONDS, asked, watch_transfer
from services.runtime.errors import Aborted, NotFound, TgfleetError, Unavailable
from tgfleet.gateway.v1 import transfer_pb2 as tr

pytestmark = [pytest.mark.looptime(start=1000), pytest.mark.asyncio]

LOST = Unavailable("The leader is gone.", reason="NOT_LEADER")
REQUEST = tr.WatchTransferRequest(transfer_id="tr_a")
RUNNING, COMPLETED = tr.TRANSFER_STATE_RUNNING, tr.TRANSFER_STATE_COMPLETED


class Scheduler:
    """One list of states or errors for each attachment; the last one goes on for ever."""

    def __init__(self, *attachments: Sequence[int | TgfleetError]) -> None:
        self.attachments = list(attachments)
        self.attached = 0

    async def watch(self, _request: Any, _within: float | None) -> AsyncGenerator[tr.Transfer, None]:
        self.attached += 1
        for step in self.attachments.pop(0) if len(self.attachments) > 1 else self.attachments[0]:
            if isinstance(step, TgfleetError):
                raise step
            yield tr.Transfer(state=step)  # type: ignore[arg-type]


async def states(scheduler: Any) -> list[int]:
    stream = watch_transfer(REQUEST, None, scheduler, random.Random(1))
    return [transfer.state async for transfer in stream]


async def test_a_watch_goes_on_over_lost_leaders_until_an_end_state() -> None:
    scheduler = Scheduler([RUNNING, LOST], [LOST], [], [RUNNING, COMPLETED, RUNNING])
    assert await states(scheduler) == [RUNNING, RUNNING, COMPLETED]
    assert scheduler.attached == 4


async def test_without_any_scheduler_a_watch_does_not_begin() -> None:
    with pytest.raises(Unavailable):
        await states(Scheduler([LOST]))


async def test_a_watch_outlives_its_leader_for_a_while_only() -> None:
    begun = asyncio.get_running_loop().time()
    with pytest.raises(Unavailable):
        await states(Scheduler([RUNNING, LOST], [LOST]))
    assert REATTACH_SECONDS <= asyncio.get_running_loop().time() - begun < REATTACH_SECONDS + 5


async def test_what_is_wrong_with_the_request_ends_the_watch() -> None:
    with pytest.raises(NotFound):
        await states(Scheduler([RUNNING, LOST], [NotFound("It was deleted.")]))


class Asker:
    """Fails so often, then answers; keeps the seconds it was given."""

    def __init__(self, *fails: TgfleetError, forever: TgfleetError | None = None) -> None:
        self.fails, self.forever, self.left = list(fails), forever, []  # type: ignore[var-annotated]

    async def __call__(self, left: float) -> str:
        self.left.append(left)
        await asyncio.sleep(1)
        if self.fails or self.forever:
            raise self.fails.pop(0) if self.fails else self.forever  # type: ignore[misc]
        return "yes"


async def test_a_call_is_asked_again_with_what_is_left_of_its_time() -> None:
    asker = Asker(LOST, Aborted("The term is over."))
    assert await asked(asker, 60, rng=random.Random(1)) == "yes"
    assert len(asker.left) == 3
    assert asker.left[0] == 60
    assert asker.left[0] - 1 > asker.left[1] > asker.left[2] + 1 > 55


async def test_an_outage_is_told_and_not_waited_for() -> None:
    begun = asyncio.get_running_loop().time()
    with pytest.raises(Unavailable):
        await asked(Asker(forever=LOST), 600, rng=random.Random(1))
    assert REASK_SECONDS - 2 < asyncio.get_running_loop().time() - begun < REASK_SECONDS + 3


async def test_an_answer_that_says_unavailable_is_not_asked_for_again() -> None:
    asker = Asker(forever=Unavailable("None of the accounts runs.", reason="NO_ACCOUNT_RUNNING"))
    with pytest.raises(Unavailable):
        await asked(asker, 60, rng=random.Random(1))
    assert len(asker.left) == 1


async def test_a_call_ends_with_its_time() -> None:
    begun = asyncio.get_running_loop().time()
    with pytest.raises(Unavailable):
        await asked(Asker(forever=LOST), 5, rng=random.Random(1))
    assert asyncio.get_running_loop().time() - begun <= 6


async def test_what_must_not_be_repeated_is_repeated_only_if_nobody_heard_it() -> None:
    assert await asked(Asker(LOST), 60, repeatable=False, rng=random.Random(1)) == "yes"
    unknown = Asker(Unavailable("The connection broke."))
    with pytest.raises(Unavailable):
        await asked(unknown, 60, repeatable=False, rng=random.Random(1))
    assert len(unknown.left) == 1


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("@News", "news"),
        ("news", "news"),
        ("https://t.me/News/77?single", "news"),
        ("T.me/s/News", "news"),
        ("-1001234", "-1001234"),
        ("t.me/c/1234567890/5", "-1001234567890"),
        ("t.me/c/77", "-1000000000077"),
        ("me", "me"),
        ("Self", "me"),
        ("777", "777"),
        ("007", "7"),
        ("tg://resolve?domain=News", "news"),
        ("t.me/+AbC_d", "+AbC_d"),
        ("https://t.me/joinchat/AbC_d", "+AbC_d"),
    ],
)
async def test_names_of_one_chat_have_one_key(text: str, key: str) -> None:
    assert chat_key("f", text) == key


@pytest.mark.parametrize(
    "text",
    ["", " ", "@", "a", "a b", "1a", "-0", "9" * 20, "t.me/", "t.me/abc", "http://x.y/z", "@ä", "a\x00b"],
)
async def test_what_names_no_chat(text: str) -> None:
    with pytest.raises(BadForm) as caught:
        chat_key("spec.source", text)
    assert caught.value.field == "spec.source"
