"""Bad input gets INVALID_ARGUMENT with its field before anybody is asked; what owners refuse is passed on."""

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from services.runtime.errors import AlreadyExists, Internal, NotFound
from tests.integration.gateway.conftest import Stage
from tests.integration.gateway.fakes import ADMIN, bearer, error_info
from tests.support.errors import refusal
from tgfleet.gateway.v1 import account_pb2 as acc
from tgfleet.gateway.v1 import fleet_pb2 as fleet
from tgfleet.gateway.v1 import token_pb2 as tok

METADATA = bearer(ADMIN)


def duration(request: Message, field: str, seconds: int, nanos: int = 0) -> Message:
    getattr(request, field).seconds = seconds
    getattr(request, field).nanos = nanos
    return request


def update(mask: list[str], **values: object) -> acc.UpdateAccountRequest:
    account = acc.Account(account_id="a", **values)  # type: ignore[arg-type]
    return acc.UpdateAccountRequest(account=account, update_mask=FieldMask(paths=mask))


BOTH = {"account_ids": ["a"], "match_labels": {"k": "v"}}
BAD = [
    *(
        (service, fleet.DESCRIPTOR, message(**BOTH), "account_ids")
        for service, message in (
            ("StartAll", fleet.StartAllRequest),
            ("StopAll", fleet.StopAllRequest),
            ("StartChat", fleet.StartChatRequest),
            ("StopChat", fleet.StopChatRequest),
            ("GetFleetStatus", fleet.GetFleetStatusRequest),
            ("WatchEvents", fleet.WatchEventsRequest),
        )
    ),
    ("ListAccounts", acc.DESCRIPTOR, acc.ListAccountsRequest(**BOTH), "account_ids"),
    ("StartAll", fleet.DESCRIPTOR, fleet.StartAllRequest(account_ids=["a", ""]), "account_ids[1]"),
    ("StartAll", fleet.DESCRIPTOR, fleet.StartAllRequest(match_labels={"k": "ä"}), "match_labels"),
    ("StartAll", fleet.DESCRIPTOR, fleet.StartAllRequest(request_id="x" * 129), "request_id"),
    ("StopAll", fleet.DESCRIPTOR, fleet.StopAllRequest(request_id="a\nb"), "request_id"),
    ("StartAll", fleet.DESCRIPTOR, duration(fleet.StartAllRequest(), "wait_for", -5), "wait_for"),
    ("StartAll", fleet.DESCRIPTOR, duration(fleet.StartAllRequest(), "wait_for", 3601), "wait_for"),
    ("StartAll", fleet.DESCRIPTOR, duration(fleet.StartAllRequest(), "wait_for", 2**62), "wait_for"),
    ("GetFleetStatus", fleet.DESCRIPTOR, fleet.GetFleetStatusRequest(page_size=-1), "page_size"),
    ("GetFleetStatus", fleet.DESCRIPTOR, fleet.GetFleetStatusRequest(page_size=10_001), "page_size"),
    ("ListWorkers", fleet.DESCRIPTOR, fleet.ListWorkersRequest(page_size=-3), "page_size"),
    ("DrainWorker", fleet.DESCRIPTOR, fleet.DrainWorkerRequest(), "worker_id"),
    (
        "DrainWorker",
        fleet.DESCRIPTOR,
        duration(fleet.DrainWorkerRequest(worker_id="w"), "timeout", -1),
        "timeout",
    ),
    ("ListAccounts", acc.DESCRIPTOR, acc.ListAccountsRequest(page_size=1001), "page_size"),
    ("GetAccount", acc.DESCRIPTOR, acc.GetAccountRequest(), "account_id"),
    ("DeleteAccount", acc.DESCRIPTOR, acc.DeleteAccountRequest(), "account_id"),
    ("EnableAccount", acc.DESCRIPTOR, acc.EnableAccountRequest(account_id="a\x1b"), "account_id"),
    ("DisableAccount", acc.DESCRIPTOR, acc.DisableAccountRequest(account_id="a" * 200), "account_id"),
    ("ResetFloodWaits", acc.DESCRIPTOR, acc.ResetFloodWaitsRequest(), "account_id"),
    ("ImportAccounts", acc.DESCRIPTOR, acc.ImportAccountsRequest(), "items"),
    ("ImportAccounts", acc.DESCRIPTOR, acc.ImportAccountsRequest(items=[acc.ImportItem()] * 1001), "items"),
    (
        "ImportAccounts",
        acc.DESCRIPTOR,
        acc.ImportAccountsRequest(items=[acc.ImportItem(session_file=b"x" * (16 * 2**20 + 1))]),
        "items",
    ),
    ("UpdateAccount", acc.DESCRIPTOR, acc.UpdateAccountRequest(), "account.account_id"),
    ("UpdateAccount", acc.DESCRIPTOR, update([]), "update_mask"),
    ("UpdateAccount", acc.DESCRIPTOR, update(["user_id"]), "update_mask"),
    ("UpdateAccount", acc.DESCRIPTOR, update(["name"], name=""), "account.name"),
    ("UpdateAccount", acc.DESCRIPTOR, update(["priority"], priority=-1001), "account.priority"),
    ("UpdateAccount", acc.DESCRIPTOR, update(["labels"], labels={"": "x"}), "account.labels"),
    ("UpdateAccount", acc.DESCRIPTOR, update(["home_worker"], home_worker="No!"), "account.home_worker"),
    (
        "UpdateAccount",
        acc.DESCRIPTOR,
        update(["chat_policy"], chat_policy=acc.ChatPolicy(user_ids=[5, -5])),
        "account.chat_policy.user_ids[1]",
    ),
    *(
        (
            "UpdateAccount",
            acc.DESCRIPTOR,
            update(["transfer_policy"], transfer_policy=acc.TransferPolicy(**policy)),
            f"account.transfer_policy.{field}",
        )
        for policy, field in (
            ({"daily_cap": -1}, "daily_cap"),
            ({"daily_cap": 2**40}, "daily_cap"),
            ({"allowed_hours": ["08:00-22:00", "8-22"]}, "allowed_hours[1]"),
            ({"allowed_hours": ["08:00-08:00"]}, "allowed_hours[0]"),
            ({"allowed_hours": ["08:00-24:00"]}, "allowed_hours[0]"),
            ({"allowed_hours": ["08:00-09:00"] * 25}, "allowed_hours"),
        )
    ),
    ("CreateToken", tok.DESCRIPTOR, tok.CreateTokenRequest(role=1), "name"),
    ("CreateToken", tok.DESCRIPTOR, tok.CreateTokenRequest(name="x"), "role"),
    ("CreateToken", tok.DESCRIPTOR, tok.CreateTokenRequest(name="x", role=99), "role"),  # type: ignore[arg-type]
    ("RevokeToken", tok.DESCRIPTOR, tok.RevokeTokenRequest(), "name"),
    ("ListTokens", tok.DESCRIPTOR, tok.ListTokensRequest(page_token="\x00"), "page_token"),
]


@pytest.mark.parametrize(("name", "file", "request_", "field"), BAD)
async def test_bad_input_names_its_field_and_reaches_nobody(
    stage: Stage, name: str, file: object, request_: Message, field: str
) -> None:
    stub = {fleet.DESCRIPTOR: stage.fleet, acc.DESCRIPTOR: stage.accounts, tok.DESCRIPTOR: stage.tokens}[file]
    call = getattr(stub, name)(request_, metadata=METADATA, timeout=20)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await (call.read() if hasattr(call, "read") else call)
    said = refusal(caught.value)
    assert (said.code, said.fields, said.domain) == ("INVALID_ARGUMENT", (field,), "tgfleet")
    assert stage.registry.asked == []
    assert stage.scheduler.calls == []


async def test_a_message_over_the_limit_is_refused_by_the_transport(stage: Stage) -> None:
    item = acc.ImportItem(session_file=b"x" * (40 * 2**20))
    request = acc.ImportAccountsRequest(items=[item])
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stage.accounts.ImportAccounts(request, metadata=METADATA, timeout=20)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert stage.registry.asked == []


async def test_a_large_import_goes_through(stage: Stage) -> None:
    items = [acc.ImportItem(name=f"n{i}", session_file=b"x" * 2**20) for i in range(12)]
    answer = await stage.accounts.ImportAccounts(
        acc.ImportAccountsRequest(items=items), metadata=METADATA, timeout=30
    )
    assert [r.name for r in answer.results] == [i.name for i in items]


async def test_items_are_for_the_registry_to_judge(stage: Stage) -> None:
    """A bad item must not spoil the others, so the gateway does not refuse the call for it."""
    items = [acc.ImportItem(name="", api_id=-5), acc.ImportItem(name="fine")]
    answer = await stage.accounts.ImportAccounts(
        acc.ImportAccountsRequest(items=items, request_id="r"), metadata=METADATA, timeout=20
    )
    assert len(answer.results) == 2
    assert stage.registry.asked[0][1].request.request_id == "r"


async def test_what_the_registry_refuses_is_passed_on(stage: Stage) -> None:
    stage.registry.fail = AlreadyExists("There is an account x.", reason="NAME_TAKEN", field="account.name")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stage.accounts.UpdateAccount(update(["name"], name="x"), metadata=METADATA, timeout=20)
    said = refusal(caught.value)
    assert (said.code, said.reason, said.fields) == ("ALREADY_EXISTS", "NAME_TAKEN", ("account.name",))
    assert said.message == "There is an account x."


@pytest.mark.parametrize(
    ("error", "code"),
    [(NotFound("No."), "NOT_FOUND"), (Internal("Neutral.", metadata={"incident": "1"}), "INTERNAL")],
)
async def test_codes_survive(stage: Stage, error: Exception, code: str) -> None:
    stage.registry.fail = error  # type: ignore[assignment]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stage.accounts.GetAccount(acc.GetAccountRequest(account_id="x"), metadata=METADATA, timeout=20)
    assert caught.value.code().name == code
    assert error_info(caught.value).domain == "tgfleet"


async def test_every_account_and_token_call_reaches_the_registry(stage: Stage) -> None:
    one = {"account_id": "acc_000000000001"}
    calls = [
        (stage.accounts.ListAccounts, acc.ListAccountsRequest()),
        (stage.accounts.GetAccount, acc.GetAccountRequest(**one)),
        (stage.accounts.EnableAccount, acc.EnableAccountRequest(**one)),
        (stage.accounts.DisableAccount, acc.DisableAccountRequest(**one)),
        (stage.accounts.DeleteAccount, acc.DeleteAccountRequest(**one)),
        (stage.accounts.ResetFloodWaits, acc.ResetFloodWaitsRequest(**one)),
        (stage.fleet.ResumeStarts, fleet.ResumeStartsRequest()),
        (stage.tokens.CreateToken, tok.CreateTokenRequest(name="ci", role=tok.ROLE_VIEWER)),
        (stage.tokens.ListTokens, tok.ListTokensRequest()),
        (stage.tokens.RevokeToken, tok.RevokeTokenRequest(name="ci")),
    ]
    answers = [await method(request, metadata=METADATA, timeout=20) for method, request in calls]
    assert answers[0].accounts[0].name == answers[1].account.name == "alice"
    assert (answers[2].account.enabled, answers[3].account.enabled) == (True, False)
    assert (answers[5].removed, answers[6].were_stopped) == (2, True)
    assert answers[7].secret == "tgf_new_secret_0000"
    asked = [name for name, _ in stage.registry.asked]
    assert asked == [
        *("ListAccounts", "GetAccount", "SetAccountEnabled", "SetAccountEnabled", "DeleteAccount"),
        *("ResetFloodWaits", "ResumeStarts", "CreateToken", "ListTokens", "RevokeToken"),
    ]
