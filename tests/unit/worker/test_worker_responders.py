"""Rules: what they answer, and that a bad file is refused with a sentence that names the place."""

import textwrap
from pathlib import Path

import pytest

from services.runtime.errors import SettingsError
from services.worker.chat import responders
from services.worker.chat.responder import ChatMessage, SilentResponder, load_responder

MESSAGE = ChatMessage(chat_id=-100, sender_id=7, first_name="Bob", text="Hello there, order 66")


def load(tmp_path: Path, text: str) -> object:
    path = tmp_path / "rules.yaml"
    path.write_text(textwrap.dedent(text))
    return load_responder(path)


async def answer(tmp_path: Path, text: str, message: ChatMessage = MESSAGE) -> str | None:
    return await load(tmp_path, text).respond(message)  # type: ignore[attr-defined, no-any-return]


async def test_the_first_rule_that_fits_answers(tmp_path: Path) -> None:
    rules = r"""
        rules:
          - {pattern: 'goodbye', reply: 'Bye'}
          - {pattern: '(?i)^HELLO', reply: 'Hi {first_name}: {text}'}
          - {pattern: '.', reply: 'late'}
    """
    assert await answer(tmp_path, rules) == "Hi Bob: Hello there, order 66"


async def test_groups_of_the_pattern_can_be_used(tmp_path: Path) -> None:
    rules = r"""
        rules: [{pattern: 'order (\d+)(x)?', reply: 'No. {1}{2} for {sender_id} in {chat_id}, {{literally}}'}]
    """
    assert await answer(tmp_path, rules) == "No. 66 for 7 in -100, {literally}"


async def test_rules_for_some_chats_only(tmp_path: Path) -> None:
    rules = "rules: [{pattern: '.', reply: 'here', chats: [-1]}, {pattern: '.', reply: 'elsewhere'}]"
    assert await answer(tmp_path, rules) == "elsewhere"


async def test_no_rule_no_answer_and_no_file_no_answer(tmp_path: Path) -> None:
    assert await answer(tmp_path, "rules: [{pattern: 'nothing', reply: 'x'}]") is None
    assert await answer(tmp_path, "rules: []") is None
    assert isinstance(load_responder(None), SilentResponder)
    assert await SilentResponder().respond(MESSAGE) is None


async def test_what_somebody_writes_is_text_and_never_a_template(tmp_path: Path) -> None:
    evil = ChatMessage(1, 2, "{text.__class__}", "{first_name} {0.__init__}")
    rules = "rules: [{pattern: '.', reply: '{first_name}|{text}'}]"
    assert await answer(tmp_path, rules, evil) == "{text.__class__}|{first_name} {0.__init__}"


async def test_an_answer_is_never_longer_than_a_message_may_be(tmp_path: Path) -> None:
    long = ChatMessage(1, 2, "x", "a" * 5000)
    given = await answer(tmp_path, "rules: [{pattern: '.', reply: '{text}'}]", long)
    assert given is not None
    assert len(given) == 4096


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("rules: [{pattern: '(a', reply: x}]", "rule 1: the pattern is not RE2"),
        ("rules: [{pattern: '(?=a)', reply: x}]", "rule 1: the pattern is not RE2"),
        ("rules: [{pattern: a, reply: '{secret}'}]", "{secret}"),
        ("rules: [{pattern: a, reply: '{text.__class__}'}]", "rule 1: the reply may use"),
        ("rules: [{pattern: a, reply: '{text!r}'}]", "rule 1: the reply may use"),
        ("rules: [{pattern: a, reply: '{text:>9}'}]", "rule 1: the reply may use"),
        ("rules: [{pattern: a, reply: '{1}'}]", "rule 1: the reply may use"),
        ("rules: [{pattern: a, reply: '{'}]", "rule 1: the reply is not a template"),
        ("rules: [{pattern: a}]", "rule 1: `reply` must be text"),
        ("rules: [{reply: a}]", "rule 1: `pattern` must be text"),
        ("rules: [{pattern: a, reply: b, chats: [x]}]", "rule 1: `chats`"),
        ("rules: [{pattern: a, reply: b, chat: [1]}]", "'chat' means nothing"),
        ("rules: [a]", "rule 1 must have"),
        ("rules: 5", "`rules` must be a list"),
        ("rulez: []", "'rulez' means nothing"),
        ("responder: clever\nrules: []", "there is no responder 'clever'; there are: openai, rules"),
        ("- a", "must hold a mapping"),
        ("rules: [", "is not YAML in line"),
    ],
)
def test_a_bad_file_is_refused_with_its_place(tmp_path: Path, text: str, names: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load(tmp_path, text)
    assert names in refused.value.message
    assert "rules.yaml" in refused.value.message


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load_responder(tmp_path / "none.yaml")


async def test_another_responder_is_one_new_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shouting.py").write_text(
        textwrap.dedent("""
            NAME = "shouting"

            class Shouting:
                def __init__(self, mark):
                    self.mark = mark

                async def respond(self, message):
                    return message.text.upper() + self.mark

            def build(config, where):
                return Shouting(config["mark"])
        """)
    )
    monkeypatch.setattr(responders, "__path__", [*responders.__path__, str(tmp_path)])
    assert await answer(tmp_path, "{responder: shouting, mark: '!!'}") == "HELLO THERE, ORDER 66!!"
    assert await answer(tmp_path, "rules: [{pattern: '.', reply: 'still here'}]") == "still here"
