"""What a responder is, and how one is found. Adding another one is one new file in `responders/`.

A module there has `NAME`, and `build(config, where)` that makes its responder from the chat configuration
(the YAML file of TGFLEET_CHAT_RULES_FILE, whose top-level key `responder` names it; `rules` when it does not)
or raises SettingsError with one clear sentence. What comes back from a responder is text to send, never an
action.
"""

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import yaml

from services.runtime.errors import SettingsError
from services.worker.chat import responders

_DEFAULT = "rules"


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """A message to answer. `chat_id` is Telegram's marked id."""

    chat_id: int
    sender_id: int
    first_name: str = field(repr=False)
    text: str = field(repr=False)
    account: int = 0
    """Telegram's user id of the account that would answer."""
    day: str = ""
    """That account's own day, as in `2026-11-20`: what daily caps count by."""


class Responder(Protocol):
    """Knows what to say."""

    async def respond(self, message: ChatMessage) -> str | None:
        """The answer, or None for none. May take its time: the caller asks one message of a chat at a time
        and sets a limit."""
        ...


class SilentResponder:
    """Says nothing: what runs without a configuration file."""

    async def respond(self, message: ChatMessage) -> str | None:  # noqa: ARG002 - the port's signature
        """None."""
        return None


def load_responder(path: Path | None) -> Responder:
    """The responder that the file asks for. Raises SettingsError."""
    if path is None:
        return SilentResponder()
    config = _read(path)
    name = config.get("responder", _DEFAULT)
    known = {module.NAME: module for module in _modules()}
    if name not in known:
        choices = ", ".join(sorted(known))
        raise SettingsError(
            f"{path}: there is no responder {name!r}; there are: {choices}", reason="BAD_CHAT_RULES"
        )
    responder: Responder = known[name].build(config, str(path))
    return responder


def _modules() -> list[Any]:
    names = [module.name for module in pkgutil.iter_modules(responders.__path__)]
    return [importlib.import_module(f"{responders.__name__}.{name}") for name in names]


def _read(path: Path) -> Mapping[str, Any]:
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{path}: cannot be read ({type(error).__name__})", reason="BAD_CHAT_RULES"
        ) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" in line {mark.line + 1}" if mark is not None else ""
        raise SettingsError(f"{path}: is not YAML{place}", reason="BAD_CHAT_RULES") from error
    if not isinstance(config, dict):
        raise SettingsError(f"{path}: must hold a mapping with `rules:`", reason="BAD_CHAT_RULES")
    return config
