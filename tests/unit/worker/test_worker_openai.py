"""The responder that asks an HTTP endpoint, against real servers on loopback that behave, and ones that do
not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from services.runtime.errors import SettingsError
from services.worker.chat.responder import ChatMessage, Responder, load_responder

KEY = "sk-canary-8f2b"
SPOKEN = "a private canary question"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Endpoint:
    """An HTTP server with one handler; keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.handler: Handler = self.says("Hello.")
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1/chat/completions"

    @staticmethod
    def says(content: Any) -> Handler:
        async def handler(_: web.Request) -> web.Response:
            choice = {"message": {"role": "assistant", "content": content, "tool_calls": [{"run": "rm"}]}}
            return web.json_response({"choices": [choice]})

        return handler

    async def take(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(await request.json())
        self.keys.append(request.headers.get("Authorization"))
        return await self.handler(request)


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    made = Endpoint()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.take)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.port = runner.addresses[0][1]
    yield made
    await runner.cleanup()


def load(tmp_path: Path, **config: Any) -> Responder:
    key = tmp_path / "key"
    key.write_text(f"{KEY}\n")
    path = tmp_path / "rules.yaml"
    given = {"responder": "openai", "model": "m-1", "api_key_file": str(key), **config}
    path.write_text(json.dumps({k: v for k, v in given.items() if v is not None}))  # JSON is YAML
    return load_responder(path)


def question(text: str = SPOKEN, account: int = 1, day: str = "2026-11-20") -> ChatMessage:
    return ChatMessage(-100, 7, "Bob", text, account, day)


async def test_it_sends_the_text_and_nothing_else_of_the_message(tmp_path: Path, endpoint: Endpoint) -> None:
    responder = load(tmp_path, url=endpoint.url, system="Be brief.", max_tokens=9)
    assert await responder.respond(question()) == "Hello."
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": SPOKEN}]
    assert endpoint.asked == [{"model": "m-1", "messages": messages, "max_tokens": 9}]
    assert endpoint.keys == [f"Bearer {KEY}"]


async def test_without_a_key_none_is_sent(tmp_path: Path, endpoint: Endpoint) -> None:
    await load(tmp_path, url=endpoint.url, api_key_file=None).respond(question())
    assert endpoint.keys == [None]


@pytest.mark.parametrize(
    ("content", "sent"),
    [
        ('{"action": "stop_all"}', '{"action": "stop_all"}'),
        ("/logout\n<b>{first_name}</b> {text.__class__}", "/logout\n<b>{first_name}</b> {text.__class__}"),
        ("  \n ", None),
        ("", None),
        (None, None),
        ([{"type": "text", "text": "x"}], None),
        ("x" * 5000, "x" * 4096),
        ("😀" * 4096, "😀" * 2048),
        ("a\ud800b", "a?b"),
    ],
)
async def test_what_comes_back_is_text_to_send_and_never_more_than_a_message(
    tmp_path: Path, endpoint: Endpoint, content: Any, sent: str | None
) -> None:
    endpoint.handler = endpoint.says(content)
    assert await load(tmp_path, url=endpoint.url).respond(question()) == sent


def _body(body: bytes, status: int = 200, **headers: str) -> Handler:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=body, status=status, headers=headers)

    return handler


async def _hang_up(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


async def _for_ever(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse()
    await answer.prepare(request)
    while True:
        await answer.write(b" " * 65536)


GOOD = b'{"choices": [{"message": {"content": "%s"}}]}' % SPOKEN.encode()


@pytest.mark.parametrize(
    ("handler", "told"),
    [
        (_body(b"<html>%s</html>" % SPOKEN.encode()), "JSONDecodeError"),
        (_body(b"\xff\xfe\x00garbage"), "Error"),
        (_body(b"[" * 100_000), "RecursionError"),
        (_body(b'{"choices": []}'), "not in the chat completions format"),
        (_body(b'{"choices": {"0": 1}}'), "not in the chat completions format"),
        (_body(b'"text"'), "not in the chat completions format"),
        (_body(GOOD, 401), "HTTP status 401"),
        (_body(GOOD, 500), "HTTP status 500"),
        (_body(GOOD, 204), "HTTP status 204"),
        (_body(b" " * 300_000 + GOOD), "too large"),
        (_for_ever, "too large"),
        (_hang_up, "Disconnected"),
    ],
)
async def test_trouble_is_silence_and_a_warning_without_text(
    tmp_path: Path, endpoint: Endpoint, capfd: pytest.CaptureFixture[str], handler: Handler, told: str
) -> None:
    endpoint.handler = handler
    responder = load(tmp_path, url=endpoint.url)
    async with asyncio.timeout(10):
        assert await responder.respond(question()) is None
    log = "".join(capfd.readouterr())
    assert told in log
    assert SPOKEN not in log
    assert KEY not in log


async def test_a_redirect_is_not_followed_to_anywhere(tmp_path: Path, endpoint: Endpoint) -> None:
    for status in (301, 302, 303, 307, 308):
        endpoint.handler = _body(b"", status, Location=f"http://localhost:{endpoint.port}/elsewhere")
        assert await load(tmp_path, url=endpoint.url).respond(question()) is None
    assert len(endpoint.asked) == 5, "neither text nor key went on"


async def test_a_slow_endpoint_is_given_up(tmp_path: Path, endpoint: Endpoint) -> None:
    async def drip(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        while True:  # each byte is in time for a limit between bytes
            await answer.write(b" ")
            await asyncio.sleep(0.05)

    endpoint.handler = drip
    began = asyncio.get_running_loop().time()
    assert await load(tmp_path, url=endpoint.url, timeout=1).respond(question()) is None
    assert asyncio.get_running_loop().time() - began < 5


async def test_nobody_there_is_silence(tmp_path: Path) -> None:
    assert await load(tmp_path, url="http://127.0.0.1:9/").respond(question()) is None


async def test_the_cap_of_a_day_counts_by_account_and_day(tmp_path: Path, endpoint: Endpoint) -> None:
    responder = load(tmp_path, url=endpoint.url, daily_cap=2)
    assert [await responder.respond(question()) for _ in range(3)] == ["Hello.", "Hello.", None]
    assert await responder.respond(question(account=2)) == "Hello."
    assert await responder.respond(question(day="2026-11-21")) == "Hello."
    assert len(endpoint.asked) == 4


async def test_questions_that_failed_count_too(tmp_path: Path, endpoint: Endpoint) -> None:
    endpoint.handler = _body(b"", 500)
    responder = load(tmp_path, url=endpoint.url, daily_cap=1)
    await responder.respond(question())
    await responder.respond(question())
    assert len(endpoint.asked) == 1


async def test_the_start_says_where_texts_go_and_never_the_key(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    responder = load(tmp_path, url="https://api.example.org/v1/chat/completions")
    log = "".join(capfd.readouterr())
    assert "https://api.example.org" in log
    assert KEY not in log + repr(responder.__dict__)


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"url": "http://api.example.org/v1"}, "`url` must be https unless"),
        ({"url": "http://127.0.0.1.example.org/v1"}, "`url` must be https unless"),
        ({"url": "http://localhost.example.org/v1"}, "`url` must be https unless"),
        ({"url": "http://10.0.0.1/v1"}, "`url` must be https unless"),
        ({"url": "ftp://example.org"}, "`url` must be an http(s) address"),
        ({"url": "https://[::1"}, "`url` must be an http(s) address"),
        ({"url": "https://user:pass@example.org/"}, "no user, password"),
        ({"url": "https://example.org/?key=1"}, "no user, password"),
        ({"url": None}, "`url` must be text"),
        ({"model": None}, "`model` must be text"),
        ({"api_key_file": "/nowhere/at/all"}, "`api_key_file` cannot be read"),
        ({"timeout": 51}, "`timeout` must be a number from 1 to 50"),
        ({"timeout": True}, "`timeout` must be a number"),
        ({"daily_cap": 0}, "`daily_cap` must be a number"),
        ({"api_key": KEY}, "'api_key' means nothing here"),
    ],
)
def test_a_bad_file_is_refused_with_a_sentence(tmp_path: Path, config: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load(tmp_path, **{"url": "https://api.example.org/v1", **config})
    assert sentence in refused.value.message
    assert KEY not in refused.value.message


def test_a_key_file_with_more_than_a_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "two").write_text("one\ntwo\n")
    with pytest.raises(SettingsError, match="must hold one key"):
        load(tmp_path, url="https://api.example.org/v1", api_key_file=str(tmp_path / "two"))
