"""Sentences for people: the commands they name exist, and they give nothing away."""

from __future__ import annotations

import re

import pytest
from typer.testing import CliRunner

from services.admin.__main__ import app
from services.scheduler.domain import sentences
from services.scheduler.domain.model import AccountSpec, Reason

SPEC = AccountSpec("acc_aaaaaaaaaaaa", "ann", home_worker="w1", session_file="ann.session")


def actions() -> list[str]:
    told = [sentences.action_for(reason, SPEC) for reason in Reason]
    verdicts = [
        sentences.disabled(SPEC),
        sentences.needs_login(SPEC),
        sentences.quarantined(SPEC),
        sentences.starts_stopped("two sessions died."),
        sentences.home_offline("w1", {"w2": "x.session"}, SPEC),
        sentences.home_draining("w1"),
        sentences.missing(SPEC, {"w2": "x.session"}),
        sentences.still_starting(sentences.CallKind.START_ALL, "w1"),
        sentences.not_running("It does not run."),
    ]
    return [text for text in (*told, *(verdict.action for verdict in verdicts)) if text]


def test_every_command_that_a_sentence_names_exists() -> None:
    named = {command for text in actions() for command in re.findall(r"`tgfleet ([^`]+)`", text)}
    assert len(named) >= 6
    for command in sorted(named):
        words = [word for word in command.split() if not word.startswith("--")]
        options = [word for word in command.split() if word.startswith("--")]
        depth = 2 if words[0] in {"accounts", "workers"} else 1
        result = CliRunner().invoke(app, [*words[:depth], "--help"])
        assert result.exit_code == 0, f"there is no `tgfleet {command}`"
        assert all(option in result.output for option in options), command


@pytest.mark.parametrize("name", ["+49 151 12345678", "4915112345678", "+1 (555) 010-9999"])
def test_a_name_that_is_a_phone_number_is_replaced_by_the_id(name: str) -> None:
    assert sentences.handle(AccountSpec("acc_x", name)) == "acc_x"


def test_a_name_is_quoted_for_the_shell() -> None:
    assert sentences.handle(AccountSpec("acc_x", "my account; rm x")) == "'my account; rm x'"
