"""TransferService of the fake gateway: one transfer that runs through by the scenario, and one of each other
kind."""

# ruff: noqa: N802 - gRPC names its methods in CamelCase and always passes a request and a context

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.json_format import MessageToDict

from services.runtime.errors import FailedPrecondition, NotFound, Unavailable
from tests.integration.admin.fake_common import STRANGE, authenticate, log
from tgfleet.gateway.v1 import transfer_pb2 as tr
from tgfleet.gateway.v1 import transfer_pb2_grpc

RUNNING, DONE, WAITING, OPEN, PAUSED = (f"tr_{name:a>12}" for name in ("run", "done", "wait", "open", "stop"))
FORWARD = "messages.forwardMessages"


def now_plus(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def transfer(
    transfer_id: str = RUNNING, state: int = tr.TRANSFER_STATE_RUNNING, **values: Any
) -> tr.Transfer:
    """A transfer of 1,000 messages, a good part done."""
    made = tr.Transfer(
        transfer_id=transfer_id,
        spec=tr.TransferSpec(
            source="@news",
            target="-1001234567890",
            ids=tr.IdRange(first=1, last=1000),
            mode=1,
            account_ids=["alice", "bob"],
        ),
        source=tr.TransferChat(chat_id=-1009876543210, title="Daily News", kind="channel"),
        target=tr.TransferChat(chat_id=-1001234567890, title=f"Archive of {STRANGE}", kind="supergroup"),
        state=state,  # type: ignore[arg-type]
        total=1000,
        done=430,
        skipped={"DELETED": 8, "SERVICE": 3, "MEDIA_EMPTY": 1},
        rate=1234.5,
        shards=[
            tr.TransferShard(
                shard=1, first_id=1, last_id=1000, checkpoint_id=442, account_id="acc_1", account_name="alice"
            )
        ],
    )
    made.create_time.FromDatetime(now_plus(-75))
    for name, value in values.items():
        if name.endswith("_time"):
            getattr(made, name).FromDatetime(value)
        else:
            setattr(made, name, value)
    return made


def completed() -> tr.Transfer:
    made = transfer(DONE, tr.TRANSFER_STATE_COMPLETED, done=988, end_time=now_plus(-2), rate=0.0)
    del made.shards[:]
    made.shards.add(shard=1, first_id=1, last_id=1000, checkpoint_id=1000)
    made.refused.add(message_id=77, reason="MEDIA_EMPTY")
    made.candidates.add(account_id="acc_1", name="alice", usable=True)
    made.candidates.add(
        account_id="acc_2", name=STRANGE, reason="CANNOT_READ", detail="It is not in the source."
    )
    return made


def waiting() -> tr.Transfer:
    made = transfer(
        WAITING,
        tr.TRANSFER_STATE_WAITING,
        reason="FLOOD_WAIT",
        detail="All 2 accounts wait; alice is the first that may go on.",
        next_wake_time=now_plus(95),
        rate=0.0,
    )
    made.shards[0].account_id = made.shards[0].account_name = ""
    return made


def undecided(batches: int = 1) -> tr.Transfer:
    made = transfer(
        OPEN,
        tr.TRANSFER_STATE_UNDECIDED,
        reason="UNDECIDED",
        detail="Nobody can tell whether batch 5 was sent: alice is gone, and the target shows a part of it.",
        action=f"Look into the target, then decide: tgfleet transfer settle {OPEN} --sent or --not-sent.",
    )
    for number in range(batches):
        made.undecided.add(
            shard=1,
            batch=5 + number,
            message_ids=[401, 402, 410],
            account_id="acc_1",
            detail="Two of three were found.",
        )
    return made


def stages() -> list[tr.Transfer]:
    """What a watcher sees."""
    went = [transfer(done=done) for done in range(0, 1000, 90)]
    stop = waiting()
    stop.transfer_id = RUNNING
    end = completed()
    end.transfer_id = RUNNING
    return [*went[:5], stop, *went[5:], end]


class Transfers(transfer_pb2_grpc.TransferServiceServicer):
    """Answers by scenario; `open2` has two undecided batches, `hang` never ends, `cut` breaks the watch
    twice."""

    def __init__(self, scenario: str) -> None:
        self.scenario = scenario
        self.cuts = 2 if scenario == "cut" else 0

    def _all(self) -> dict[str, tr.Transfer]:
        rows = [
            transfer(),
            waiting(),
            undecided(2 if self.scenario == "open2" else 1),
            transfer(
                PAUSED,
                tr.TRANSFER_STATE_PAUSED,
                reason="PEER_FLOOD",
                detail="Telegram calls alice a spammer.",
            ),
            completed(),
        ]
        return {row.transfer_id: row for row in rows}

    def _get(self, transfer_id: str) -> tr.Transfer:
        if transfer_id not in self._all():
            raise NotFound("There is no such transfer.", reason="TRANSFER_NOT_FOUND", field="transfer_id")
        return self._all()[transfer_id]

    async def CreateTransfer(self, request: Any, context: Any) -> Any:
        authenticate(context)
        log(
            "CreateTransfer",
            spec=MessageToDict(request.spec, preserving_proto_field_name=True),
            id=request.request_id,
        )
        if request.spec.target == "@closed":
            raise FailedPrecondition("None of the accounts can post there.", reason="NO_ACCOUNT_CAN_POST")
        made = transfer(done=0)
        made.candidates.add(account_id="acc_1", name="alice", usable=True)
        made.candidates.add(
            account_id="acc_2", name="bob", reason="CANNOT_POST", detail="bob may not post in Archive."
        )
        return tr.CreateTransferResponse(transfer=made)

    async def GetTransfer(self, request: Any, context: Any) -> Any:
        authenticate(context)
        return tr.GetTransferResponse(transfer=self._get(request.transfer_id))

    async def ListTransfers(self, request: Any, context: Any) -> Any:
        authenticate(context)
        log("ListTransfers", size=request.page_size, token=request.page_token, states=list(request.states))
        rows = [row for row in self._all().values() if not request.states or row.state in request.states]
        first = int(
            request.page_token or 0
        )  # three to a page, so that clients that stop after one are found out
        last = first + min(3, request.page_size)
        return tr.ListTransfersResponse(
            transfers=rows[first:last], next_page_token=str(last) if last < len(rows) else ""
        )

    async def WatchTransfer(self, request: Any, context: Any) -> AsyncIterator[Any]:
        authenticate(context)
        if self._get(request.transfer_id).transfer_id != RUNNING:
            yield tr.WatchTransferResponse(transfer=self._get(request.transfer_id))
            return
        for stage in stages():
            yield tr.WatchTransferResponse(transfer=stage)
            await asyncio.sleep(0.05)
            if stage.done > 300 and self.scenario == "hang":
                await asyncio.Event().wait()
            if stage.done > 300 and self.cuts:
                self.cuts -= 1
                raise Unavailable("The gateway is stopping.", reason="SHUTTING_DOWN")

    async def PauseTransfer(self, request: Any, context: Any) -> Any:
        authenticate(context)
        log("PauseTransfer", id=request.transfer_id)
        found = self._get(request.transfer_id)
        found.state = tr.TRANSFER_STATE_PAUSING if self.scenario == "hang" else tr.TRANSFER_STATE_PAUSED
        return tr.PauseTransferResponse(transfer=found)

    async def ResumeTransfer(self, request: Any, context: Any) -> Any:
        authenticate(context)
        if request.transfer_id == DONE:
            raise FailedPrecondition("The transfer has completed.", reason="TRANSFER_ENDED")
        return tr.ResumeTransferResponse(transfer=self._get(request.transfer_id))

    async def CancelTransfer(self, request: Any, context: Any) -> Any:
        authenticate(context)
        found = self._get(request.transfer_id)
        found.state = tr.TRANSFER_STATE_CANCELLED
        return tr.CancelTransferResponse(transfer=found)

    async def ExplainTransfer(self, request: Any, context: Any) -> Any:
        authenticate(context)
        self._get(request.transfer_id)
        return explanation()

    async def SettleBatch(self, request: Any, context: Any) -> Any:
        authenticate(context)
        log("SettleBatch", shard=request.shard, batch=request.batch, sent=request.sent)
        return tr.SettleBatchResponse(transfer=transfer(OPEN))


def explanation() -> tr.ExplainTransferResponse:
    """One account of each kind."""
    answer = tr.ExplainTransferResponse(detail="alice sends; 2 of 4 accounts cannot go on now.")
    chosen = answer.accounts.add(
        account_id="acc_1",
        name="alice",
        chosen=True,
        rank=1,
        sent_today=812,
        daily_cap=2000,
        sent_total=90_001,
    )
    chosen.predictions.add(method=FORWARD, budget=400, budget_left=320, recovery_per_hour=60, waits_seen=5)
    answer.accounts.add(account_id="acc_2", name="bob-with-a-rather-long-name", rank=2, sent_today=3)
    third = answer.accounts.add(account_id="acc_3", name=STRANGE, sent_today=2000, daily_cap=2000)
    flood = third.obstacles.add(
        reason="FLOOD_WAIT", detail="Telegram told it to wait before forwardMessages."
    )
    flood.until_time.FromDatetime(now_plus(95))
    third.obstacles.add(reason="DAILY_CAP").until_time.FromDatetime(now_plus(40_000))
    answer.accounts.add(account_id="acc_4", name="dave").obstacles.add(reason="DISABLED")
    return answer
