"""Answers by a language model behind an HTTP endpoint that speaks the OpenAI chat completions format.

::

    responder: openai
    url: https://api.example.org/v1/chat/completions   # http only to this very machine
    model: some-model
    api_key_file: /run/secrets/chat-api-key             # optional; the file holds the key and nothing else
    system: You answer for Alice, briefly.              # optional
    timeout: 30                                         # seconds, at most 50
    daily_cap: 200                                      # questions of an account on its own day

The text of each message that may be answered leaves this machine for that endpoint, and nothing else of the
message does. What comes back is text to send and never an action: tool calls and all other fields of the
answer are not looked at. Whatever goes wrong is silence, and a warning that holds no text. The questions of a
day are counted in this process: a restart counts anew.
"""

import asyncio
import ipaddress
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

import aiohttp

from services.runtime.errors import SettingsError
from services.runtime.logs import get_logger
from services.runtime.secret import Secret
from services.worker.chat.responder import ChatMessage

_log = get_logger("worker.chat.openai")

NAME = "openai"
LONGEST_REPLY = 4096
"""UTF-16 code units, the narrowest reading of what Telegram takes in one message
(core.telegram.org/api/config, message_length_max)."""
_LARGEST_ANSWER = 256 * 1024
"""Bytes of an answer that are read; more than that is no chat message."""
_AT_ONCE = 16
"""Questions under way at the same time in this process."""
_OK = 200
_KEYS = frozenset(
    {"responder", "url", "model", "api_key_file", "system", "timeout", "daily_cap", "max_tokens"}
)


class _NoAnswerError(Exception):
    """The endpoint gave nothing that can be sent; the text says what and holds nothing of the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAiConfig:
    """What the file says, checked."""

    url: str
    model: str
    api_key: Secret[str] | None = None
    system: str = ""
    timeout: float = 30.0
    daily_cap: int = 200
    max_tokens: int = 500


class OpenAiResponder:
    """See `Responder`. Several chats may ask beside each other; the desk asks one message of a chat at a
    time."""

    def __init__(self, config: OpenAiConfig) -> None:
        self._config = config
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._asked: dict[int, tuple[str, int]] = {}

    async def respond(self, message: ChatMessage) -> str | None:
        """The model's answer, cut to what Telegram takes; None when there is none."""
        if not self._may_ask(message):
            return None
        try:
            async with asyncio.timeout(self._config.timeout), self._room:
                return _cut(_text_of(await self._ask(message.text)))
        except _NoAnswerError as error:
            _log.warning("the chat endpoint gave no answer", problem=str(error))
        except (aiohttp.ClientError, OSError, ValueError, RecursionError) as error:
            # The type alone: the text of such an error may hold what was asked or answered.
            _log.warning("the chat endpoint gave no answer", problem=type(error).__name__)
        return None

    def _may_ask(self, message: ChatMessage) -> bool:
        """Counts the question before it is asked: what is paid for is the asking."""
        day, asked = self._asked.get(message.account, ("", 0))
        asked = asked + 1 if day == message.day else 1
        if asked > self._config.daily_cap:
            return False
        self._asked[message.account] = (message.day, asked)
        if asked == self._config.daily_cap:
            _log.warning(
                "an account has asked the chat endpoint for the last time today", cap=self._config.daily_cap
            )
        return True

    async def _ask(self, text: str) -> bytes:
        config = self._config
        system = [{"role": "system", "content": config.system}] if config.system else []
        question = {
            "model": config.model,
            "messages": [*system, {"role": "user", "content": text}],
            "max_tokens": config.max_tokens,
        }
        headers = {"Authorization": f"Bearer {config.api_key.reveal()}"} if config.api_key else {}
        # No proxies of the environment, no cookies, and above all no redirects: the key and the text go
        # where the start said that they go.
        async with (
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), trust_env=False) as session,
            session.post(config.url, json=question, headers=headers, allow_redirects=False) as answer,
        ):
            if answer.status != _OK:
                raise _NoAnswerError(f"HTTP status {answer.status}")
            return await _read(answer.content)


async def _read(content: aiohttp.StreamReader) -> bytes:
    body = bytearray()
    async for chunk in content.iter_any():
        body += chunk
        if len(body) > _LARGEST_ANSWER:
            raise _NoAnswerError("an answer too large")
    return bytes(body)


def _text_of(body: bytes) -> str:
    answer = json.loads(body)
    try:
        text = answer["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError) as error:
        raise _NoAnswerError("not in the chat completions format") from error
    if not isinstance(text, str):
        raise _NoAnswerError("an answer without text")
    return text


def _cut(text: str) -> str | None:
    """Stripped of white space and cut; None when nothing is left to say. A half of a surrogate pair, which
    JSON can carry and UTF-8 cannot, becomes a question mark or goes."""
    units = text.strip().encode("utf-16-le", "replace")
    return units[: 2 * LONGEST_REPLY].decode("utf-16-le", "ignore").strip() or None


def build(config: Mapping[str, Any], where: str) -> OpenAiResponder:
    """Checks the file and says in the log where texts go. Raises SettingsError that names the file and the
    key."""
    for key in config:
        _require(key in _KEYS, f"{where}: {key!r} means nothing here; there are {', '.join(sorted(_KEYS))}")
    checked = OpenAiConfig(
        url=_url(config.get("url"), where),
        model=_text(config, "model", where),
        api_key=_api_key(config.get("api_key_file"), where),
        system=_text(config, "system", where, default=""),
        timeout=_number(config, "timeout", where, default=30, least=1, most=50),
        daily_cap=int(_number(config, "daily_cap", where, default=200, least=1, most=100_000)),
        max_tokens=int(_number(config, "max_tokens", where, default=500, least=1, most=100_000)),
    )
    _log.warning(
        "the texts of chats that may be answered are sent to another program",
        to=_origin(urlsplit(checked.url)),
        model=checked.model,
        daily_cap=checked.daily_cap,
    )
    return OpenAiResponder(checked)


def _url(given: Any, where: str) -> str:
    _require(isinstance(given, str) and given != "", f"{where}: `url` must be text")
    try:
        parts = urlsplit(given)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        parts, host = urlsplit(""), ""
    _require(parts.scheme in {"http", "https"} and host != "", f"{where}: `url` must be an http(s) address")
    _require(
        parts.username is None and parts.password is None and not parts.query and not parts.fragment,
        f"{where}: `url` must hold no user, password, query or fragment; a key belongs in `api_key_file`",
    )
    _require(
        parts.scheme == "https" or _is_loopback(host),
        f"{where}: `url` must be https unless it is on this machine: texts and the key would be readable "
        "on the way",
    )
    return str(given)


def _origin(parts: SplitResult) -> str:
    return f"{parts.scheme}://{parts.netloc}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _api_key(given: Any, where: str) -> Secret[str] | None:
    if given is None:
        return None
    _require(isinstance(given, str) and given != "", f"{where}: `api_key_file` must name a file")
    try:
        key = Path(given).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{where}: the file of `api_key_file` cannot be read ({type(error).__name__})",
            reason="BAD_CHAT_RULES",
        ) from error
    _require(
        key.isascii() and key.isprintable() and key != "" and " " not in key,
        f"{where}: the file of `api_key_file` must hold one key and nothing else",
    )
    return Secret(key)


def _text(config: Mapping[str, Any], key: str, where: str, default: str | None = None) -> str:
    given = config.get(key, default)
    _require(isinstance(given, str) and (given != "" or default == ""), f"{where}: `{key}` must be text")
    return str(given)


def _number(
    config: Mapping[str, Any], key: str, where: str, *, default: float, least: float, most: float
) -> float:
    given = config.get(key, default)
    fits = isinstance(given, int | float) and not isinstance(given, bool) and least <= given <= most
    _require(fits, f"{where}: `{key}` must be a number from {least:g} to {most:g}")
    return float(given)


def _require(condition: bool, sentence: str) -> None:  # noqa: FBT001 - reads as an assertion
    if not condition:
        raise SettingsError(sentence, reason="BAD_CHAT_RULES")
