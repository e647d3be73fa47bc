"""`tgfleet keys`, `audit` and `tokens set-role` as a person sees them."""

import json
from collections.abc import Callable

from tests.integration.admin.conftest import Cli


def test_keys_say_which_may_go(cli: Cli) -> None:
    listed = cli("keys", "list")
    assert listed.code == 0
    assert [line.split()[:2] for line in listed.out.splitlines()[2:]] == [["new", "1,200"], ["old", "0"]]
    assert "seals new secrets" in listed.out
    assert "can be taken out" in listed.out
    assert [
        key["keyId"] if "keyId" in key else key["key_id"]
        for key in json.loads(cli("keys", "list", "--json").out)
    ]


def test_a_rotation_shows_progress_and_its_end(cli: Cli) -> None:
    done = cli("keys", "rotate")
    assert (done.code, done.out) == (0, "120 secrets sealed again with new.\n")
    assert cli.on_terminal("keys", "rotate")[0] == 0
    assert json.loads(cli("keys", "rotate", "--json").out)["done"] is True


def test_secrets_that_cannot_be_opened_are_a_failure_with_their_accounts(
    gateway: Callable[[str], Cli],
) -> None:
    lost = gateway("lost")
    ended = lost("keys", "rotate")
    assert ended.code == 1
    assert "1 secret could not be opened, of acc_aaaaaaaaaaaa." in ended.err
    assert "not in the key file" in lost("keys", "list").out


def test_the_audit_trail_is_read_in_pages(cli: Cli) -> None:
    shown = cli("audit")
    assert shown.code == 0
    assert len(shown.out.splitlines()) == 2 + 3
    assert "no valid token" in shown.out
    assert "\x1b" not in shown.out
    entries = [json.loads(line) for line in cli("audit", "--json", "--all").out.splitlines()]
    assert len(entries) == 3
    assert len(cli("audit", "--json", "--limit", "1").out.splitlines()) == 1


def test_a_tokens_role_and_last_use(cli: Cli) -> None:
    assert "Last used" in cli("tokens", "list").out
    assert "(0.0 s ago)" in cli("tokens", "list").out
    assert (
        cli("tokens", "set-role", "grafana", "operator").out == "Token grafana now has the role operator.\n"
    )
    assert '"role": 2' in cli.asked()
    assert cli("tokens", "set-role", "grafana", "emperor").code == 2
