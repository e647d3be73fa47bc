"""The registry as a process: it serves, it keeps everything over kill -9, and no secret leaves it."""

import asyncio
import secrets
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.registry.domain.session import auth_key_id
from services.runtime.errors import TgfleetError
from services.runtime.status import from_rpc_error
from tests.integration.registry.conftest import session_string
from tests.integration.registry.process import BOOTSTRAP, RegistryProcess
from tests.support.etcd import EtcdProcess, killable_etcd_binary
from tgfleet.gateway.v1 import account_pb2, result_pb2, token_pb2
from tgfleet.registry.v1 import registry_pb2 as pb


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdProcess]:
    with EtcdProcess(tmp_path_factory.mktemp("etcd")) as running:
        yield running


@pytest.fixture
def own_etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdProcess]:
    """For registries with another database: two databases over one etcd take it for lost again and again."""
    with EtcdProcess(tmp_path_factory.mktemp("own-etcd")) as running:
        yield running


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, etcd: EtcdProcess) -> Iterator[RegistryProcess]:
    running = RegistryProcess(tmp_path_factory.mktemp("registry"), etcd.endpoint)
    process = running.spawn()
    yield running
    process.terminate()
    assert process.wait(15) == 0, "it stops cleanly"


@pytest.fixture
async def registry(shared: RegistryProcess) -> AsyncIterator[RegistryProcess]:
    """One process for all tests that do no harm to it."""
    yield await shared.connect()
    await shared.disconnect()


def vault_item(name: str, key: bytes | None = None, **fields: object) -> account_pb2.ImportItem:
    return account_pb2.ImportItem(name=name, session_string=session_string(key), **fields)  # type: ignore[arg-type]


async def refused(call: object) -> TgfleetError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call  # type: ignore[misc]
    return from_rpc_error(caught.value)


async def settled_acquire(
    registry: RegistryProcess, worker: str, ids: list[str]
) -> pb.AcquireSessionsResponse:
    """Acquires, waiting out a new generation (accounts may have been there before the registry saw etcd)."""
    async with asyncio.timeout(20):
        while True:
            answer = await registry.acquire(worker, f"i-{worker}", secrets.token_hex(4), ids)
            if all(result.HasField("grant") for result in answer.results):
                return answer
            await asyncio.sleep(0.1)


async def test_it_serves(registry: RegistryProcess) -> None:
    assert registry.channel is not None
    health = health_pb2_grpc.HealthStub(registry.channel)
    answer = await health.Check(health_pb2.HealthCheckRequest(), timeout=5)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    verified = await registry.stub.VerifyToken(pb.VerifyTokenRequest(secret=BOOTSTRAP), timeout=5)
    assert (verified.token.name, verified.token.role) == ("bootstrap", token_pb2.ROLE_ADMIN)


async def test_a_grant_has_everything_that_a_worker_needs(registry: RegistryProcess) -> None:
    key = secrets.token_bytes(256)
    policy = account_pb2.ChatPolicy(chat_ids=[-5], contacts=True)
    [added] = await registry.add(
        vault_item("a", key, proxy="socks5://u:p@127.0.0.1:9", chat_policy=policy, time_zone="Asia/Tokyo")
    )
    answer = await settled_acquire(registry, "w1", [added.account.account_id])
    grant = answer.results[0].grant
    assert (grant.session.auth_key, grant.session.dc_id, grant.session.user_id) == (key, 2, 4711)
    assert grant.auth_key_id == auth_key_id(key) == added.account.auth_key_id
    assert (grant.proxy, grant.api_id, grant.user_id) == ("socks5://u:p@127.0.0.1:9", 12_345, 4711)
    assert (grant.name, grant.time_zone, grant.chat_policy) == ("a", "Asia/Tokyo", policy)
    assert [lease.lease_id for lease in answer.leases] == [grant.lease_id]
    assert (answer.leases[0].ttl.seconds, answer.leases[0].settle.seconds) == (2, 1)


async def test_everything_is_there_after_kill_9(tmp_path: Path, own_etcd: EtcdProcess) -> None:
    ttl = {"TGFLEET_LEASE_TTL": "15s"}  # longer than a start takes on a busy machine
    first = await RegistryProcess(tmp_path, own_etcd.endpoint, **ttl).start()
    items = [vault_item(f"n{number}", labels={"k": "v"}) for number in range(5)]
    results = await first.add(*items, request_id="r1")
    ids = [result.account.account_id for result in results]
    await first.stub.SetWanted(pb.SetWantedRequest(account_ids=ids, running=True), timeout=5)
    granted = await settled_acquire(first, "w1", ids)
    wait = pb.Fact(fact_id="f1", account_id=ids[0], worker_id="w1")
    wait.time.GetCurrentTime()
    wait.flood_wait.method = "messages.sendMessage"
    wait.flood_wait.until_time.seconds = wait.time.seconds + 1000
    await first.stub.ReportFacts(pb.ReportFactsRequest(facts=[wait]), timeout=5)
    await first.end(signal.SIGKILL)

    second = await RegistryProcess(tmp_path, own_etcd.endpoint, **ttl).start()
    try:
        listed = await second.stub.ListAccounts(pb.ListAccountsRequest(), timeout=5)
        assert [account.name for account in listed.response.accounts] == [f"n{number}" for number in range(5)]
        assert all(account.wanted_running for account in listed.response.accounts)
        assert [w.method for w in listed.response.accounts[0].flood_waits] == ["messages.sendMessage"]
        assert await second.renew("w1", "i-w1", granted.leases[0].lease_id) == [True]
        taken = await second.acquire("w2", "i2", "q", ids)
        assert {result.refusal.reason for result in taken.results} == {result_pb2.REASON_LEASE_HELD}
        again = await second.add(*items, request_id="r1")
        assert [result.account.account_id for result in again] == ids
        under_other_names = [
            account_pb2.ImportItem(name=f"x{number}", session_string=one.session_string)
            for number, one in enumerate(items)
        ]
        twice = await second.add(*under_other_names)
        assert {result.reason for result in twice} == {"SESSION_ALREADY_IMPORTED"}
    finally:
        await second.end()


async def test_a_second_process_on_one_database_is_refused(
    registry: RegistryProcess, etcd: EtcdProcess
) -> None:
    other = RegistryProcess(registry.folder, etcd.endpoint)
    assert await asyncio.to_thread(other.spawn().wait, 30) == 2
    assert "another process has" in other.log.read_text()


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("TGFLEET_REGISTRY_DATABASE_URL", "mysql://x/y", "only SQLite"),
        ("TGFLEET_LEASE_TLL", "2s", "TGFLEET_LEASE_TTL"),
    ],
)
async def test_bad_settings_stop_the_start_with_a_sentence(
    tmp_path: Path, name: str, value: str, sentence: str
) -> None:
    registry = RegistryProcess(tmp_path, "127.0.0.1:1", **{name: value})
    assert await asyncio.to_thread(registry.spawn().wait, 30) == 2
    log = registry.log.read_text()
    assert sentence in log
    assert "Traceback" not in log


async def test_a_file_that_is_no_database_stops_the_start(tmp_path: Path) -> None:
    registry = RegistryProcess(tmp_path, "127.0.0.1:1")
    (tmp_path / "registry.db").write_bytes(b"this is no database" * 100)
    assert await asyncio.to_thread(registry.spawn().wait, 30) == 2
    assert "damaged or no SQLite database" in registry.log.read_text()


async def test_the_lost_master_key_refuses_only_what_it_sealed(tmp_path: Path, own_etcd: EtcdProcess) -> None:
    first = await RegistryProcess(tmp_path, own_etcd.endpoint).start()
    [old] = await first.add(vault_item("old"))
    await first.end()
    first.keys.unlink()
    second = await RegistryProcess(tmp_path, own_etcd.endpoint).start()
    try:
        [new] = await second.add(vault_item("new"))
        await settled_acquire(second, "w1", [new.account.account_id])
        answer = await second.acquire("w1", "i2", "q", [old.account.account_id])
        assert answer.results[0].refusal.reason == result_pb2.REASON_SECRET_UNREADABLE
        assert answer.results[0].refusal.outcome == result_pb2.OUTCOME_FAILED
    finally:
        await second.end()


async def test_accounts_are_managed_while_etcd_is_away(tmp_path: Path) -> None:
    with EtcdProcess(tmp_path / "etcd", killable_etcd_binary()) as etcd:
        registry = await RegistryProcess(tmp_path / "registry", etcd.endpoint).start()
        try:
            etcd.kill()
            [added] = await registry.add(vault_item("a"))
            account_id = added.account.account_id
            await registry.stub.SetWanted(
                pb.SetWantedRequest(account_ids=[account_id], running=True), timeout=5
            )
            assert registry.channel is not None
            health = await health_pb2_grpc.HealthStub(registry.channel).Check(
                health_pb2.HealthCheckRequest(), timeout=5
            )
            assert health.status == health_pb2.HealthCheckResponse.SERVING
            error = await refused(registry.acquire("w1", "i1", "q", [account_id]))
            assert (error.code, error.reason) == ("UNAVAILABLE", "ETCD_UNAVAILABLE")
            etcd.start()
            await settled_acquire(registry, "w1", [account_id])
        finally:
            await registry.end()


def bad_requests() -> list[tuple[str, Message, str, str]]:
    gateway = account_pb2
    return [
        (
            "ListAccounts",
            pb.ListAccountsRequest(request=gateway.ListAccountsRequest(page_size=-1)),
            "INVALID_ARGUMENT",
            "page_size",
        ),
        (
            "ListAccounts",
            pb.ListAccountsRequest(request=gateway.ListAccountsRequest(page_size=1001)),
            "INVALID_ARGUMENT",
            "page_size",
        ),
        (
            "ListAccounts",
            pb.ListAccountsRequest(request=gateway.ListAccountsRequest(page_token="ü?")),
            "INVALID_ARGUMENT",
            "page_token",
        ),
        ("GetAccount", pb.GetAccountRequest(), "INVALID_ARGUMENT", "account_id"),
        (
            "GetAccount",
            pb.GetAccountRequest(request=gateway.GetAccountRequest(account_id="nobody")),
            "NOT_FOUND",
            "account_id",
        ),
        ("ImportAccounts", pb.ImportAccountsRequest(), "INVALID_ARGUMENT", "items"),
        ("DeleteAccount", pb.DeleteAccountRequest(), "INVALID_ARGUMENT", "account_id"),
        ("SetAccountEnabled", pb.SetAccountEnabledRequest(account_id="x"), "NOT_FOUND", "account_id"),
        ("ResetFloodWaits", pb.ResetFloodWaitsRequest(), "INVALID_ARGUMENT", "account_id"),
        (
            "ResolveAccounts",
            pb.ResolveAccountsRequest(account_ids=[""]),
            "INVALID_ARGUMENT",
            "account_ids[0]",
        ),
        (
            "ResolveAccounts",
            pb.ResolveAccountsRequest(match_labels={"a b": "c"}),
            "INVALID_ARGUMENT",
            "match_labels",
        ),
        ("AcquireSessions", pb.AcquireSessionsRequest(), "INVALID_ARGUMENT", "worker_id"),
        (
            "AcquireSessions",
            pb.AcquireSessionsRequest(worker_id="w", incarnation="i"),
            "INVALID_ARGUMENT",
            "request_id",
        ),
        (
            "AcquireSessions",
            pb.AcquireSessionsRequest(worker_id="w", incarnation="i", request_id="r"),
            "INVALID_ARGUMENT",
            "items",
        ),
        (
            "AcquireSessions",
            pb.AcquireSessionsRequest(
                worker_id="w",
                incarnation="i",
                request_id="r",
                items=[pb.AcquireItem(account_id="a", auth_key_id="XYZ")],
            ),
            "INVALID_ARGUMENT",
            "items[0].auth_key_id",
        ),
        ("RenewLeases", pb.RenewLeasesRequest(worker_id="W 1"), "INVALID_ARGUMENT", "worker_id"),
        (
            "ReleaseSessions",
            pb.ReleaseSessionsRequest(worker_id="w", incarnation="i", releases=[pb.Release()]),
            "INVALID_ARGUMENT",
            "releases[0].auth_key_id",
        ),
        (
            "ReportFacts",
            pb.ReportFactsRequest(facts=[pb.Fact(fact_id="f", account_id="a")]),
            "INVALID_ARGUMENT",
            "facts[0].kind",
        ),
        (
            "ReportFacts",
            pb.ReportFactsRequest(
                facts=[pb.Fact(fact_id="f", account_id="a", session_died=pb.SessionDied(reason=99))]
            ),
            "INVALID_ARGUMENT",
            "facts[0].session_died.reason",
        ),
        (
            "ReportFacts",
            pb.ReportFactsRequest(facts=[pb.Fact(account_id="a", session_ran=pb.SessionRan())]),
            "INVALID_ARGUMENT",
            "facts[0].fact_id",
        ),
        ("VerifyToken", pb.VerifyTokenRequest(secret="canary"), "UNAUTHENTICATED", ""),
        (
            "CreateToken",
            pb.CreateTokenRequest(request=token_pb2.CreateTokenRequest(name="t")),
            "INVALID_ARGUMENT",
            "role",
        ),
        (
            "CreateToken",
            pb.CreateTokenRequest(request=token_pb2.CreateTokenRequest(role=token_pb2.ROLE_VIEWER)),
            "INVALID_ARGUMENT",
            "name",
        ),
        (
            "CreateToken",
            pb.CreateTokenRequest(request=token_pb2.CreateTokenRequest(name="t", role=77)),
            "INVALID_ARGUMENT",
            "role",
        ),
        (
            "RevokeToken",
            pb.RevokeTokenRequest(request=token_pb2.RevokeTokenRequest(name="t")),
            "NOT_FOUND",
            "name",
        ),
    ]


async def test_bad_input_gets_its_error_with_field_and_reason(registry: RegistryProcess) -> None:
    before = await registry.stub.ListAccounts(pb.ListAccountsRequest(), timeout=5)
    for method, request, code, field in bad_requests():
        error = await refused(getattr(registry.stub, method)(request, timeout=5))
        assert (method, error.code, error.field or "") == (method, code, field)
        assert error.reason
    listed = await registry.stub.ListAccounts(pb.ListAccountsRequest(), timeout=5)
    assert listed == before


@pytest.mark.parametrize(
    "data", [b"\xff\xff\xff\xff", b"\x0a\x06\x0a\x04\x0a\x02\xff\xfe"], ids=["garbage", "no-utf-8"]
)
async def test_bytes_that_are_no_request_are_refused(registry: RegistryProcess, data: bytes) -> None:
    assert registry.channel is not None
    call = registry.channel.unary_unary("/tgfleet.registry.v1.RegistryService/ImportAccounts")
    error = await refused(call(data, timeout=5))
    assert error.code == "INVALID_ARGUMENT"


async def test_an_open_watch_does_not_hold_up_the_stop(tmp_path: Path, own_etcd: EtcdProcess) -> None:
    running = await RegistryProcess(tmp_path, own_etcd.endpoint).start()
    watch = running.stub.WatchAccounts(pb.WatchAccountsRequest())
    assert (await watch.read()).snapshot_complete
    process = running.process
    assert process is not None
    process.terminate()
    async with asyncio.timeout(10):
        assert await watch.read() is grpc.aio.EOF
        assert await asyncio.to_thread(process.wait, 10) == 0
    await running.disconnect()


async def test_tokens_over_the_wire(registry: RegistryProcess) -> None:
    asked = token_pb2.CreateTokenRequest(name="ops", role=token_pb2.ROLE_OPERATOR)
    made = (await registry.stub.CreateToken(pb.CreateTokenRequest(request=asked), timeout=5)).response
    verified = await registry.stub.VerifyToken(pb.VerifyTokenRequest(secret=made.secret), timeout=5)
    assert verified.token == made.token
    taken = await refused(registry.stub.CreateToken(pb.CreateTokenRequest(request=asked), timeout=5))
    assert (taken.code, taken.reason) == ("ALREADY_EXISTS", "NAME_TAKEN")
    listed = (await registry.stub.ListTokens(pb.ListTokensRequest(), timeout=5)).response
    assert [token.name for token in listed.tokens] == ["bootstrap", "ops"]
    revoke = pb.RevokeTokenRequest(request=token_pb2.RevokeTokenRequest(name="ops"))
    await registry.stub.RevokeToken(revoke, timeout=5)
    gone = await refused(registry.stub.VerifyToken(pb.VerifyTokenRequest(secret=made.secret), timeout=5))
    assert (gone.code, gone.reason) == ("UNAUTHENTICATED", "TOKEN_INVALID")


async def test_no_secret_stands_in_a_log_or_file(tmp_path: Path, own_etcd: EtcdProcess) -> None:
    registry = await RegistryProcess(tmp_path, own_etcd.endpoint, TGFLEET_LOG_LEVEL="debug").start()
    key = secrets.token_bytes(256)
    text, password = session_string(key), "CanaryProxyPassword7"
    proxied = account_pb2.ImportItem(
        name="a", session_string=text, proxy=f"socks5://u:{password}@127.0.0.1:9"
    )
    broken = account_pb2.ImportItem(name="b", session_string=text[:-9] + "?canary??", proxy="")
    badly = account_pb2.ImportItem(
        name="c", session_string=session_string(), proxy=f"smtp://u:{password}@h:1"
    )
    results = await registry.add(proxied, broken, badly, request_id="r")
    assert [bool(result.reason) for result in results] == [False, True, True]
    await settled_acquire(registry, "w1", [results[0].account.account_id])
    asked = token_pb2.CreateTokenRequest(name="ops", role=token_pb2.ROLE_VIEWER)
    made = (await registry.stub.CreateToken(pb.CreateTokenRequest(request=asked), timeout=5)).response
    await refused(registry.stub.VerifyToken(pb.VerifyTokenRequest(secret=made.secret + "x"), timeout=5))
    shown = repr(results).encode()
    await registry.end()
    files = {
        path: path.read_bytes() for path in tmp_path.iterdir() if path.name not in {"token", "master.keys"}
    }
    assert any(b"ImportAccounts" in data for data in files.values()), "the log was searched"
    assert any(path.name.startswith("registry.db") for path in files)
    secret_texts = [text, text[20:60], password, made.secret, made.secret[4:], BOOTSTRAP, "canary"]
    canaries = [key, key[:32], key[-32:], key.hex().encode(), *(one.encode() for one in secret_texts)]
    for name, data in [*files.items(), ("the answer", shown)]:
        for canary in canaries:
            assert canary not in data, name
