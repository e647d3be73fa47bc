"""Real processes: signals, the order of a stop, the lifeline, settings errors, --help."""

import asyncio
import json
import os
import signal
import sys
import textwrap
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import psutil
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.runtime.calls import open_call
from services.runtime.channels import open_channel
from services.runtime.lifeline import HARD_EXIT_CODE, ReadyPipe
from tests.integration.runtime.echo import EchoStub

CHILD = [sys.executable, "-m", "tests.integration.runtime.child"]


class Child:
    """A started child with what it announced."""

    def __init__(self, process: Process, info: dict[str, Any] | None) -> None:
        self.process = process
        self.info = info

    async def end(self, limit: float = 15) -> tuple[int, list[str], str]:
        """Exit code, lines of stdout, stderr."""
        async with asyncio.timeout(limit):
            out, err = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, out.decode().splitlines(), err.decode()


@pytest.fixture
async def start() -> AsyncIterator[Callable[..., Any]]:
    children: list[Process] = []

    async def start_child(mode: str = "", *arguments: str, wait: bool = True, **environ: str) -> Child:
        ready = ReadyPipe()
        process = await asyncio.create_subprocess_exec(
            *CHILD,
            *arguments,
            stdout=PIPE,
            stderr=PIPE,
            pass_fds=[ready.fd],
            env={**os.environ, "CHILD": mode, "TGFLEET_LOG_FORMAT": "json", **ready.environ, **environ},
        )
        children.append(process)
        ready.close_child_end()
        return Child(process, await ready.read(limit=20) if wait else None)

    yield start_child
    for process in children:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def test_it_announces_where_it_serves(start: Callable[..., Any]) -> None:
    child = await start()
    assert child.info["service"] == "child"
    assert child.info["pid"] == child.process.pid
    assert child.info["listen"].startswith("127.0.0.1:")
    reader, writer = await asyncio.open_connection(*child.info["metrics"].split(":"))
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"rpc_requests_total" in answer
    writer.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_stop_runs_in_order(start: Callable[..., Any], number: signal.Signals) -> None:
    child = await start()
    channel = open_channel(child.info["listen"], retries=False)
    seen: list[int] = []

    async def watch_health() -> None:
        async for answer in health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest()):
            seen.append(answer.status)  # noqa: PERF401 - to be looked at while it grows

    watching = asyncio.create_task(watch_health())
    async with open_call(EchoStub(channel).Watch, StringValue(value="until-stop")) as call:
        answers = aiter(call)
        await anext(answers)
        while not seen:
            await asyncio.sleep(0.01)
        child.process.send_signal(number)
        rest = [answer.value async for answer in answers]
    assert rest == ["until-stop"], "the stream was told to stop and ended by itself"
    await watching
    assert seen == [health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING]
    code, lines, _ = await child.end()
    assert lines == ["stopping", "hook first", "hook last", "finally"]
    assert code == 0
    await channel.close()


async def test_a_call_in_flight_gets_the_grace_and_not_more(start: Callable[..., Any]) -> None:
    child = await start(TGFLEET_SHUTDOWN_GRACE="500ms")
    channel = open_channel(child.info["listen"], retries=False)
    stub = EchoStub(channel)
    call = asyncio.ensure_future(stub.One(StringValue(value="forever")))
    async for _ in stub.Watch(StringValue(value="x")):
        break  # the server answers, so the call before it has arrived
    started = time.monotonic()
    child.process.terminate()
    code, lines, _ = await child.end()
    assert 0.4 < time.monotonic() - started < 3
    assert (code, lines[-1]) == (0, "finally")
    with pytest.raises((grpc.aio.AioRpcError, asyncio.CancelledError)):
        await call
    await channel.close()


async def test_a_second_signal_hurries_and_a_third_one_kills(start: Callable[..., Any]) -> None:
    child = await start("slow-hook", TGFLEET_SHUTDOWN_GRACE="30s")
    channel = open_channel(child.info["listen"], retries=False)
    call = asyncio.ensure_future(EchoStub(channel).One(StringValue(value="forever")))
    await asyncio.sleep(0.2)
    child.process.terminate()
    assert await child.process.stdout.readline() == b"stopping\n"
    child.process.terminate()
    code, lines, _ = await child.end(limit=8)
    assert lines == ["hook first", "hook last", "finally"]
    assert code == 0
    call.cancel()
    await channel.close()

    child = await start("slow-hook")
    for _ in range(3):
        child.process.terminate()
        await asyncio.sleep(0.1)
    code, _, _ = await child.end(limit=3)
    assert code == 130


async def test_a_stop_while_starting_runs_finally(start: Callable[..., Any]) -> None:
    child = await start("stuck-start", wait=False)
    assert await child.process.stdout.readline() == b"starting\n"
    child.process.terminate()
    code, lines, _ = await child.end()
    assert (code, lines) == (0, ["finally"])


async def test_a_hook_that_fails_stops_no_other(start: Callable[..., Any]) -> None:
    child = await start("failing-hook")
    child.process.terminate()
    code, lines, err = await child.end()
    assert lines == ["stopping", "hook first", "hook failing", "hook last", "finally"]
    assert code == 1
    assert "a hook that fails" in err


async def test_a_background_task_that_fails_stops_the_process(start: Callable[..., Any]) -> None:
    child = await start("failing-task")
    code, lines, err = await child.end()
    assert code == 1
    assert lines == ["stopping", "hook first", "hook last", "finally"]
    assert "background failure" in err


async def test_an_exception_in_main_is_logged_redacted_and_the_exit_code_is_one(
    start: Callable[..., Any],
) -> None:
    child = await start("broken")
    code, _, err = await child.end()
    assert code == 1
    line = json.loads(err.splitlines()[-1])
    assert line["level"] == "critical"
    assert "broken +99•••••56" in line["exception"]
    assert "+99966123456" not in err


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        ({"TGFLEET_LOG_LEVEL": "loud"}, "TGFLEET_LOG_LEVEL has a bad value"),
        ({"TGFLEET_LOG_LEVLE": "info"}, "did you mean TGFLEET_LOG_LEVEL?"),
        ({"TGFLEET_SHUTDOWN_GRACE": "5"}, "TGFLEET_SHUTDOWN_GRACE has a bad value"),
        ({"TGFLEET_CHILD_LISTEN": "nowhere"}, "TGFLEET_CHILD_LISTEN has a bad value"),
    ],
)
async def test_bad_settings_are_one_sentence_and_exit_code_two(
    start: Callable[..., Any], environ: dict[str, str], sentence: str
) -> None:
    child = await start(**environ)
    assert child.info is None
    code, _, err = await child.end()
    assert code == 2
    assert sentence in err
    assert len(err.splitlines()) == 1


async def test_a_port_in_use_is_one_sentence(start: Callable[..., Any]) -> None:
    first = await start()
    second = await start(TGFLEET_CHILD_LISTEN=first.info["listen"])
    code, _, err = await second.end()
    assert code == 2
    assert f"cannot listen on {first.info['listen']}" in err.splitlines()[-1]


async def test_help_lists_all_settings(start: Callable[..., Any]) -> None:
    child = await start("", "--help")
    code, lines, _ = await child.end()
    assert code == 0
    text = "\n".join(lines)
    assert "TGFLEET_CHILD_LISTEN [127.0.0.1:0]" in text
    assert "Where the child listens." in text
    assert "TGFLEET_SHUTDOWN_GRACE [5s]" in text


SUPERVISOR = textwrap.dedent("""
    import os, subprocess, sys, time
    from services.runtime.lifeline import Lifeline
    lifeline = Lifeline()
    child = subprocess.Popen(sys.argv[1:], pass_fds=[lifeline.fd], env={**os.environ, **lifeline.environ})
    print(child.pid, flush=True)
    time.sleep(60)
""")


@pytest.mark.parametrize(("mode", "limit"), [("", 3), ("blocked-loop", 9)])
async def test_the_child_dies_with_a_supervisor_that_is_killed(mode: str, limit: float) -> None:
    supervisor = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SUPERVISOR, *CHILD, stdout=PIPE, env={**os.environ, "CHILD": mode}
    )
    assert supervisor.stdout is not None
    child = psutil.Process(int(await supervisor.stdout.readline()))
    async with asyncio.timeout(20):
        while not [c for c in child.net_connections() if c.status == psutil.CONN_LISTEN]:
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.2)
    supervisor.kill()
    lines = (await supervisor.stdout.read()).decode().splitlines()  # until the child has closed it, too
    async with asyncio.timeout(limit):
        while child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
            await asyncio.sleep(0.05)
    await supervisor.wait()
    assert lines == ["stopping", "hook first", "hook last", "finally"]
    assert HARD_EXIT_CODE == 70
