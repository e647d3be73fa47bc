"""Adapters without Telegram: the gated socket, routes and proxies, session files, errors, settings."""

import asyncio
import socket
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from pyrogram.errors import RPCError
from pyrogram.raw import functions, types

from services.runtime.addresses import HostPort
from services.runtime.errors import SettingsError
from services.runtime.settings import load
from services.worker.adapters.gated_socket import GatedSocket
from services.worker.adapters.session_files import SessionFolder
from services.worker.adapters.telegram_errors import keep_library_from_writing, method_name, translate
from services.worker.adapters.telegram_route import Route, parse_proxy
from services.worker.adapters.telegram_rsa import load_rsa_key
from services.worker.domain.telegram import Fenced, LinkCause, LinkDown
from services.worker.gate import Gate
from services.worker.ports import SessionFileError
from services.worker.settings import Settings


async def deaf_server() -> tuple[socket.socket, HostPort]:
    """Takes connections and reads nothing, so that a sender's buffers fill up."""
    server = socket.create_server(("127.0.0.1", 0))
    server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    server.setblocking(False)  # noqa: FBT003
    return server, HostPort("127.0.0.1", server.getsockname()[1])


async def test_bytes_that_the_kernel_did_not_take_do_not_leave_after_the_gate_shut() -> None:
    server, address = await deaf_server()
    open_gate = True
    gate = Gate(lambda: open_gate)
    sock = await GatedSocket.dial(gate, address, None)
    peer, _ = await asyncio.get_running_loop().sock_accept(server)
    sending = asyncio.create_task(sock.send(b"x" * 50_000_000))
    await asyncio.sleep(0.1)
    assert not sending.done(), "the kernel cannot have taken all of it"
    open_gate = False
    peer.setblocking(False)  # noqa: FBT003
    taken = 0
    with closing(peer), closing(server):
        async with asyncio.timeout(10):
            while True:  # now the peer reads, and there would be room to go on
                try:
                    data = await asyncio.get_running_loop().sock_recv(peer, 1 << 20)
                except ConnectionResetError:
                    break
                if not data:
                    break
                taken += len(data)
            with pytest.raises((Fenced, OSError)):
                await sending
    assert gate.shut
    assert taken < 49_000_000
    assert sock.closed


async def test_a_shut_gate_dials_nothing_and_wakes_the_reader() -> None:
    server, address = await deaf_server()
    with closing(server):
        gate = Gate(lambda: True)
        sock = await GatedSocket.dial(gate, address, None)
        reading = asyncio.create_task(sock.read_exactly(1))
        await asyncio.sleep(0)
        gate.close()
        async with asyncio.timeout(2):
            assert await reading is None
        with pytest.raises(Fenced):
            await GatedSocket.dial(gate, address, None)
        with pytest.raises(Fenced):
            await sock.send(b"x")
    assert not gate.used


async def test_packets_are_read_whole_however_they_arrive() -> None:
    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for byte in b"0123456789":
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.001)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    address = HostPort("127.0.0.1", server.sockets[0].getsockname()[1])
    async with server:
        sock = await GatedSocket.dial(Gate(lambda: True), address, None)
        assert await sock.read_exactly(4) == b"0123"
        assert await sock.read_exactly(6) == b"456789"
        assert await sock.read_exactly(1) is None
        sock.close()


def test_nothing_is_dialled_without_leave() -> None:
    with pytest.raises(LinkDown) as down:
        Route(None, live=False).main(2, test_mode=False)
    assert down.value.cause is LinkCause.NOT_ALLOWED
    assert Route(None, live=True).main(2, test_mode=False) == HostPort("149.154.167.51", 443)
    assert Route(None, live=True).main(2, test_mode=True).port == 80
    here = HostPort("127.0.0.1", 5)
    assert Route(here, live=False).main(4, test_mode=False) == here
    assert Route(here, live=True).main(4, test_mode=False) == here
    with pytest.raises(LinkDown):
        Route(None, live=True).main(99, test_mode=False)


def test_media_goes_where_telegram_says_only_on_the_same_host() -> None:
    route = Route(HostPort("127.0.0.1", 5), live=False)
    assert route.media(2, HostPort("127.0.0.1", 6), test_mode=False).port == 6
    assert route.media(2, HostPort("149.154.167.51", 443), test_mode=False) == HostPort("127.0.0.1", 5)


def test_proxies() -> None:
    assert parse_proxy("") is None
    proxy = parse_proxy("socks5://us%40er:p%3Ass@10.0.0.1:1080")
    assert proxy is not None
    assert (proxy.scheme, proxy.host, proxy.port) == ("socks5", "10.0.0.1", 1080)
    assert (proxy.username, proxy.password) == ("us@er", "p:ss")
    assert "p:ss" not in repr(proxy)
    for bad in ("ftp://h:1", "socks5://h", "socks5://h:99999", "nonsense", "socks5://:1@:2"):
        with pytest.raises(LinkDown) as down:
            parse_proxy(bad)
        assert down.value.cause is LinkCause.PROXY_FAILED
        assert bad not in str(down.value)


def test_unlisted_errors_keep_their_name_and_write_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    keep_library_from_writing()
    for code, text in ((400, "BRAND_NEW_PROBLEM"), (777, "STRANGE_CODE"), (-503, "TIMEOUT_LIKE")):
        with pytest.raises(RPCError) as raised:
            RPCError.raise_it(types.RpcError(error_code=code, error_message=text), functions.updates.GetState)
        error = translate(raised.value, "updates.getState")
        assert (error.name, error.code) == (text, abs(code))
    assert not list(tmp_path.iterdir())


def test_method_names() -> None:
    state = functions.updates.GetState()
    assert method_name(state) == "updates.getState"
    assert method_name(functions.InvokeWithLayer(layer=1, query=state)) == "initConnection"


def session_file(path: Path, key: bytes = b"\x01" * 256, dc_id: int = 2, *, wal: bool = False) -> None:
    with closing(sqlite3.connect(path)) as database:
        if wal:
            database.execute("PRAGMA journal_mode=WAL")
        columns = "dc_id INTEGER, test_mode INTEGER, auth_key BLOB, user_id INTEGER"
        database.execute(f"CREATE TABLE sessions ({columns})")
        database.execute("INSERT INTO sessions VALUES (?, 0, ?, 77)", (dc_id, key))
        database.commit()


async def test_session_files_of_all_kinds(tmp_path: Path) -> None:
    session_file(tmp_path / "good.session")
    session_file(tmp_path / "wal.session", wal=True)
    session_file(tmp_path / "short.session", key=b"\x01" * 10)
    session_file(tmp_path / "empty.session", key=bytes(256))
    session_file(tmp_path / "nodc.session", dc_id=0)
    whole = (tmp_path / "good.session").read_bytes()
    (tmp_path / "cut.session").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.session").write_text("hello")
    (tmp_path / "other.txt").write_text("not looked at")
    with closing(sqlite3.connect(tmp_path / "other.session")) as database:
        database.execute("CREATE TABLE cookies (a)")
    names = sorted(p.name for p in tmp_path.iterdir())
    found = {f.file_name: f for f in await SessionFolder(tmp_path).scan()}
    assert sorted(p.name for p in tmp_path.iterdir()) == names, "no journal, no lock"
    assert found["good.session"].user_id == found["wal.session"].user_id == 77
    assert len(found["good.session"].auth_key_id) == 16
    bad = {name for name, file in found.items() if file.problem}
    assert bad == {
        "short.session",
        "empty.session",
        "nodc.session",
        "cut.session",
        "text.session",
        "other.session",
    }
    assert "other.txt" not in found


async def test_a_telethon_file_runs_as_well(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "t.session")) as database:
        database.execute(
            "CREATE TABLE sessions (dc_id INTEGER, server_address TEXT, port INTEGER, auth_key BLOB,"
            " takeout_id INTEGER)"
        )
        database.execute("INSERT INTO sessions VALUES (4, 'x', 443, ?, NULL)", (b"\x02" * 256,))
        database.commit()
    credentials = await SessionFolder(tmp_path).read("t.session")
    assert (credentials.dc_id, credentials.user_id) == (4, 0)
    assert "\\x02" not in repr(credentials)


async def test_only_files_of_the_folder_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "sessions"
    folder.mkdir()
    session_file(tmp_path / "outside.session")
    for name in ("../outside.session", "/etc/passwd", "none.session"):
        with pytest.raises(SessionFileError):
            await SessionFolder(folder).read(name)
    assert await SessionFolder(None).scan() == []
    assert await SessionFolder(tmp_path / "absent").scan() == []


def test_rsa_keys(tmp_path: Path) -> None:
    bad = tmp_path / "bad.pem"
    bad.write_text("nonsense")
    for path in (bad, tmp_path / "absent.pem"):
        with pytest.raises(SettingsError, match="TGFLEET_TELEGRAM_RSA_KEY"):
            load_rsa_key(path)


@pytest.mark.parametrize("name", ["Upper", "a_b", "x" * 64, "ä"])
def test_a_bad_worker_id_stops_the_start(name: str) -> None:
    with pytest.raises(SettingsError, match="TGFLEET_WORKER_ID"):
        load(Settings, {"TGFLEET_WORKER_ID": name})


def test_a_worker_has_a_name() -> None:
    assert load(Settings, {"TGFLEET_WORKER_ID": "w-1"}).name == "w-1"
    assert load(Settings, {}).name
