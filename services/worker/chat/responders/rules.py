"""Answers by rules: the first pattern that is found in a message gives the reply.

::

    rules:
      - pattern: '(?i)\\bhello\\b'     # RE2 (github.com/google/re2/wiki/Syntax), found anywhere in the text
        reply: 'Hello {first_name}!'  # {first_name} {text} {chat_id} {sender_id}; {1}, {2} for groups
        chats: [-1001234567890]       # optional: only in these chats (Telegram's marked ids)
"""

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import re2

from services.runtime.errors import SettingsError
from services.worker.chat.responder import ChatMessage

NAME = "rules"
LONGEST_REPLY = 4096
"""Characters that Telegram takes in one message (core.telegram.org/api/config, message_length_max)."""
_FIELDS = frozenset({"first_name", "text", "chat_id", "sender_id"})
_KEYS = frozenset({"pattern", "reply", "chats"})
_TOP_KEYS = frozenset({"responder", "rules"})
_FORMATTER = string.Formatter()


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, checked."""

    pattern: Any
    reply: str
    chats: frozenset[int]


class RulesResponder:
    """See `Responder`."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = rules

    async def respond(self, message: ChatMessage) -> str | None:
        """The first rule that fits, filled in; None when none does or nothing would be left to say."""
        for rule in self._rules:
            if rule.chats and message.chat_id not in rule.chats:
                continue
            found = rule.pattern.search(message.text)
            if found is not None:
                return _fill(rule.reply, message, found)[:LONGEST_REPLY].strip() or None
        return None


def build(config: Mapping[str, Any], where: str) -> RulesResponder:
    """Checks every rule. Raises SettingsError that names the file and the rule."""
    for key in config:
        _require(key in _TOP_KEYS, f"{where}: {key!r} means nothing here; there are `responder` and `rules`")
    rules = config.get("rules")
    _require(isinstance(rules, list), f"{where}: `rules` must be a list")
    return RulesResponder(
        [_rule(given, f"{where}: rule {n}") for n, given in enumerate(rules or [], start=1)]
    )


def _rule(given: Any, where: str) -> Rule:
    _require(isinstance(given, dict), f"{where} must have `pattern` and `reply`")
    for key in given:
        _require(
            key in _KEYS, f"{where}: {key!r} means nothing here; there are `pattern`, `reply` and `chats`"
        )
    pattern, reply, chats = given.get("pattern"), given.get("reply"), given.get("chats", [])
    _require(isinstance(pattern, str) and pattern != "", f"{where}: `pattern` must be text")
    _require(isinstance(reply, str) and reply.strip() != "", f"{where}: `reply` must be text")
    _require(
        isinstance(chats, list) and all(type(chat) is int for chat in chats),
        f"{where}: `chats` must be a list of chat ids",
    )
    compiled = _compile(pattern, where)
    _check_template(reply, compiled.groups, where)
    return Rule(compiled, reply, frozenset(chats))


def _compile(pattern: str, where: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        why = error.args[0].decode(errors="replace") if error.args else "unknown"
        raise SettingsError(f"{where}: the pattern is not RE2 ({why})", reason="BAD_CHAT_RULES") from error


def _check_template(reply: str, groups: int, where: str) -> None:
    """Only plain names: no attributes, indexes, conversions or formats, which could reach beyond the
    message."""
    allowed = _FIELDS | {str(n) for n in range(1, groups + 1)}
    try:
        parts = list(_FORMATTER.parse(reply))
    except ValueError as error:
        raise SettingsError(
            f"{where}: the reply is not a template ({error})", reason="BAD_CHAT_RULES"
        ) from error
    for _, name, spec, conversion in parts:
        if name is None:
            continue
        plain = not spec and conversion is None
        shown = ", ".join(f"{{{one}}}" for one in sorted(allowed))
        _require(plain and name in allowed, f"{where}: the reply may use {shown}, not {{{name}}}")


def _fill(reply: str, message: ChatMessage, found: Any) -> str:
    values: dict[str, object] = {
        "first_name": message.first_name,
        "text": message.text,
        "chat_id": message.chat_id,
        "sender_id": message.sender_id,
    }
    groups = {str(n): text or "" for n, text in enumerate(found.groups(), start=1)}
    parts = _FORMATTER.parse(reply)
    return "".join(text + (str((values | groups)[name]) if name else "") for text, name, _, _ in parts)


def _require(condition: bool, sentence: str) -> None:  # noqa: FBT001 - reads as an assertion
    if not condition:
        raise SettingsError(sentence, reason="BAD_CHAT_RULES")
