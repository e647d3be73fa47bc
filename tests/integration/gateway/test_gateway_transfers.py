"""TransferService through a real gateway: what is refused at the door, what reaches the leader, and lost
leaders."""

import asyncio
import time
from typing import Any

import grpc
import pytest

from services.runtime.errors import Aborted, FailedPrecondition, Unavailable
from tests.integration.gateway.conftest import Stage
from tests.integration.gateway.fake_transfers import NAME
from tests.integration.gateway.fakes import ADMIN, OPERATOR, VIEWER, bearer
from tests.support.errors import refusal
from tgfleet.gateway.v1 import transfer_pb2 as tr

METADATA = bearer(OPERATOR)
LOST = Unavailable("The leader is gone.", reason="NOT_LEADER")
MAX = 2**31 - 1


def create(request_id: str = "", **values: Any) -> tr.CreateTransferRequest:
    """A good request with changes."""
    spec = {"source": "@news", "target": "-1001234567890", "account_ids": ["alice"]} | values
    return tr.CreateTransferRequest(spec=tr.TransferSpec(**spec), request_id=request_id)


def dates(since: int | None, until: int | None) -> tr.DateRange:
    made = tr.DateRange()
    if since is not None:
        made.since.seconds = since
    if until is not None:
        made.until.seconds = until
    return made


BAD = [
    ("CreateTransfer", tr.CreateTransferRequest(), "spec"),
    ("CreateTransfer", create(source=""), "spec.source"),
    ("CreateTransfer", create(source="two words"), "spec.source"),
    ("CreateTransfer", create(source="@a" * 200), "spec.source"),
    ("CreateTransfer", create(source="https://example.org/news"), "spec.source"),
    ("CreateTransfer", create(source="t.me/joinchat/AbCdEf", target="https://t.me/+AbCdEf"), "spec.target"),
    ("CreateTransfer", create(target="@abc"), "spec.target"),
    ("CreateTransfer", create(target="@News"), "spec.target"),
    ("CreateTransfer", create(target="https://t.me/news/55"), "spec.target"),
    ("CreateTransfer", create(source="t.me/c/1234567890/7"), "spec.target"),
    ("CreateTransfer", create(target="0"), "spec.target"),
    ("CreateTransfer", create(account_ids=[]), "spec.account_ids"),
    ("CreateTransfer", create(match_labels={"k": "v"}), "spec.account_ids"),
    ("CreateTransfer", create(account_ids=["a", ""]), "spec.account_ids[1]"),
    ("CreateTransfer", create(account_ids=[], match_labels={"k": "ä"}), "spec.match_labels"),
    ("CreateTransfer", create(ids=tr.IdRange()), "spec.ids.first"),
    ("CreateTransfer", create(ids=tr.IdRange(first=-1, last=5)), "spec.ids.first"),
    ("CreateTransfer", create(ids=tr.IdRange(first=1)), "spec.ids.last"),
    ("CreateTransfer", create(ids=tr.IdRange(first=9, last=5)), "spec.ids"),
    ("CreateTransfer", create(dates=dates(9, 5)), "spec.dates"),
    ("CreateTransfer", create(dates=dates(5, 5)), "spec.dates"),
    ("CreateTransfer", create(dates=dates(-5, None)), "spec.dates.since"),
    ("CreateTransfer", create(dates=dates(None, 2**60)), "spec.dates.until"),
    ("CreateTransfer", create(last=0), "spec.last"),
    ("CreateTransfer", create(last=-7), "spec.last"),
    ("CreateTransfer", create(mode=9), "spec.mode"),
    ("CreateTransfer", create(media=[2, 0]), "spec.media[1]"),
    ("CreateTransfer", create(media=[77]), "spec.media[0]"),
    ("CreateTransfer", create(media=[2] * 50), "spec.media"),
    ("CreateTransfer", create(match="(a"), "spec.match"),
    ("CreateTransfer", create(match=r"(a)\1"), "spec.match"),
    ("CreateTransfer", create(match="(?=a)"), "spec.match"),
    ("CreateTransfer", create(match="a" * 1025), "spec.match"),
    ("CreateTransfer", create(match="((a{1000}){1000}){1000}"), "spec.match"),
    ("CreateTransfer", create(parallel=17), "spec.parallel"),
    ("CreateTransfer", create(parallel=-1), "spec.parallel"),
    ("CreateTransfer", create(topic_id=-1), "spec.topic_id"),
    ("CreateTransfer", create(max_per_hour=-1), "spec.max_per_hour"),
    ("CreateTransfer", create(drop_captions=True), "spec.drop_captions"),
    ("CreateTransfer", create(drop_captions=True, mode=1), "spec.drop_captions"),
    ("CreateTransfer", create("x" * 129), "request_id"),
    ("ListTransfers", tr.ListTransfersRequest(page_size=1001), "page_size"),
    ("ListTransfers", tr.ListTransfersRequest(page_size=-1), "page_size"),
    ("ListTransfers", tr.ListTransfersRequest(page_token="\n"), "page_token"),
    ("ListTransfers", tr.ListTransfersRequest(states=[1, 0]), "states[1]"),
    *(
        (f"{name}Transfer", getattr(tr, f"{name}TransferRequest")(transfer_id=bad), "transfer_id")
        for name in ("Get", "Watch", "Pause", "Resume", "Cancel", "Explain")
        for bad in ("", "x" * 129, "a\x1b")
    ),
    ("SettleBatch", tr.SettleBatchRequest(shard=1, batch=1), "transfer_id"),
    ("SettleBatch", tr.SettleBatchRequest(transfer_id=NAME, batch=1), "shard"),
    ("SettleBatch", tr.SettleBatchRequest(transfer_id=NAME, shard=1, batch=-1), "batch"),
]


@pytest.mark.parametrize(("name", "request_", "field"), BAD)
async def test_bad_input_names_its_field_and_reaches_nobody(
    stage: Stage, name: str, request_: Any, field: str
) -> None:
    call = getattr(stage.transfers, name)(request_, metadata=METADATA, timeout=20)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await (call.read() if hasattr(call, "read") else call)
    said = refusal(caught.value)
    assert (said.code, said.fields, said.domain) == ("INVALID_ARGUMENT", (field,), "tgfleet")
    assert stage.scheduler.transfers.asked == []


GOOD = [
    create(),
    create(source="me"),
    create(source="https://t.me/+AbCdEf", target="https://t.me/+abcdef"),
    create(source="-4711", target="@x_1234"),
    create(source="t.me/s/news", target="https://telegram.me/other?single"),
    create(ids=tr.IdRange(first=1, last=MAX), parallel=16, mode=2, drop_captions=True, media=[1, 2, 2]),
    create(dates=dates(5, None)),
    create(dates=dates(None, 5)),
    create(last=MAX, match=r"(?i)\bhello\b|[äöü]{2,5}"),
    create(account_ids=[], match_labels={"team": "eu"}),
]


@pytest.mark.parametrize("request_", GOOD)
async def test_what_may_be_right_reaches_the_leader_as_it_is(stage: Stage, request_: Any) -> None:
    answer = await stage.transfers.CreateTransfer(request_, metadata=METADATA, timeout=20)
    assert answer.transfer.transfer_id == NAME
    [(name, asked)] = stage.scheduler.transfers.asked
    assert (name, asked.spec) == ("create", request_.spec)
    assert asked.request_id  # given by the gateway, so that a lost leader can be asked again


async def test_a_bad_expression_costs_no_time(stage: Stage) -> None:
    begun = time.monotonic()
    for expression in ("(a+)+$" * 100, "(x{1,100}){1,10}" * 30, "[" * 1024):
        call = stage.transfers.CreateTransfer(create(match=expression), metadata=METADATA, timeout=20)
        await asyncio.gather(call, return_exceptions=True)
    assert time.monotonic() - begun < 2


async def test_every_call_reaches_the_leader_and_reading_needs_no_operator(stage: Stage) -> None:
    named = {"transfer_id": NAME}
    reads = [
        (stage.transfers.GetTransfer, tr.GetTransferRequest(**named)),
        (stage.transfers.ListTransfers, tr.ListTransfersRequest(states=[1], page_size=1000)),
        (stage.transfers.ExplainTransfer, tr.ExplainTransferRequest(**named)),
    ]
    wishes = [
        (stage.transfers.PauseTransfer, tr.PauseTransferRequest(**named)),
        (stage.transfers.ResumeTransfer, tr.ResumeTransferRequest(**named)),
        (stage.transfers.CancelTransfer, tr.CancelTransferRequest(**named)),
        (stage.transfers.SettleBatch, tr.SettleBatchRequest(**named, shard=1, batch=5, sent=True)),
    ]
    for method, request in reads:
        await method(request, metadata=bearer(VIEWER), timeout=20)
    for method, request in wishes:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await method(request, metadata=bearer(VIEWER), timeout=20)
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
        await method(request, metadata=METADATA, timeout=20)
    assert [name for name, _ in stage.scheduler.transfers.asked] == [
        *("get", "list", "explain"),
        *("pause", "resume", "cancel", "settle"),
    ]


async def test_the_leader_answers_before_the_callers_deadline(stage: Stage) -> None:
    await stage.transfers.PauseTransfer(
        tr.PauseTransferRequest(transfer_id=NAME), metadata=METADATA, timeout=20
    )
    await stage.transfers.PauseTransfer(tr.PauseTransferRequest(transfer_id=NAME), metadata=METADATA)
    near, default = stage.scheduler.transfers.deadlines
    assert near is not None
    assert 15 < near < 19.5
    assert default is not None
    assert 25 < default <= 30.1


@pytest.mark.parametrize("lost", [LOST, Aborted("The term is over.", reason="TERM_LOST")])
async def test_a_lost_leader_is_asked_again_with_the_same_request_id(stage: Stage, lost: Any) -> None:
    stage.scheduler.transfers.fails = [lost, lost]
    await stage.transfers.CreateTransfer(create(), metadata=METADATA, timeout=20)
    ids = {request.request_id for _, request in stage.scheduler.transfers.asked}
    assert (len(stage.scheduler.transfers.asked), len(ids)) == (3, 1)


async def test_a_decision_that_may_have_been_heard_is_not_repeated(stage: Stage) -> None:
    request = tr.SettleBatchRequest(transfer_id=NAME, shard=1, batch=5, sent=True)
    stage.scheduler.transfers.fails = [LOST]
    await stage.transfers.SettleBatch(request, metadata=METADATA, timeout=20)
    assert len(stage.scheduler.transfers.asked) == 2
    stage.scheduler.transfers.fails = [Aborted("The term is over.", reason="TERM_LOST")]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stage.transfers.SettleBatch(request, metadata=METADATA, timeout=20)
    assert caught.value.code() is grpc.StatusCode.ABORTED
    assert len(stage.scheduler.transfers.asked) == 3


async def test_what_the_leader_refuses_is_passed_on(stage: Stage) -> None:
    protected = FailedPrecondition("The chat is protected.", reason="CHAT_PROTECTED", field="spec.source")
    stage.scheduler.transfers.fails = [protected]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stage.transfers.CreateTransfer(create(), metadata=METADATA, timeout=20)
    said = refusal(caught.value)
    assert (said.code, said.reason, said.fields) == (
        "FAILED_PRECONDITION",
        "CHAT_PROTECTED",
        ("spec.source",),
    )


def watch(stage: Stage, token: str = VIEWER) -> Any:
    return stage.transfers.WatchTransfer(tr.WatchTransferRequest(transfer_id=NAME), metadata=bearer(token))


async def test_a_watch_ends_after_an_end_state(stage: Stage) -> None:
    async with asyncio.timeout(10):
        states = [message.transfer.state async for message in watch(stage)]
    assert states == [tr.TRANSFER_STATE_RUNNING, tr.TRANSFER_STATE_COMPLETED]


async def test_a_watch_goes_over_to_the_next_leader_without_a_word(stage: Stage) -> None:
    first, second = stage.schedulers
    first.transfers.states, first.transfers.holds = [tr.TRANSFER_STATE_RUNNING], True
    second.transfers.states = [tr.TRANSFER_STATE_WAITING, tr.TRANSFER_STATE_COMPLETED]
    call = watch(stage)
    async with asyncio.timeout(20):
        assert (await call.read()).transfer.state == tr.TRANSFER_STATE_RUNNING
        await stage.scheduler_servers[0].stop()
        await stage.scheduler_servers[1].set_serving(serving=True)
        states = [(await call.read()).transfer.state for _ in range(2)]
        assert await call.read() is grpc.aio.EOF
    assert states == [tr.TRANSFER_STATE_WAITING, tr.TRANSFER_STATE_COMPLETED]


async def test_a_watcher_who_leaves_is_not_watched_for(stage: Stage) -> None:
    stage.scheduler.transfers.states, stage.scheduler.transfers.holds = [1], True
    call = watch(stage)
    async with asyncio.timeout(10):
        await call.read()
        call.cancel()
        await stage.scheduler.transfers.cancelled.wait()


async def test_a_watch_ends_when_the_gateway_stops(stage: Stage) -> None:
    stage.scheduler.transfers.states, stage.scheduler.transfers.holds = [1], True
    call = watch(stage)
    async with asyncio.timeout(10):
        await call.read()
        stage.life.stopping.set()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
    assert refusal(caught.value).reason == "SHUTTING_DOWN"


async def test_the_audit_says_what_was_to_move_and_what_came_of_it(stage: Stage) -> None:
    await stage.transfers.CreateTransfer(
        create(account_ids=["alice", "+4915112345678"]), metadata=bearer(ADMIN), timeout=20
    )
    request = tr.SettleBatchRequest(transfer_id=NAME, shard=1, batch=5)
    await stage.transfers.SettleBatch(request, metadata=METADATA, timeout=20)
    made, settled = sorted(stage.registry.audit.values(), key=lambda entry: entry.time.ToDatetime())
    assert made.method == "TransferService.CreateTransfer"
    assert made.detail == f"{NAME} RUNNING"
    assert "source=@news" in made.targets
    assert "account=alice" in made.targets
    assert "4915112345678" not in str(made)
    assert list(settled.targets) == [f"transfer_id={NAME}", "shard=1 batch=5 not sent"]
