"""What a well-formed request is."""

import pytest

from services.gateway.domain import forms
from services.gateway.domain.credentials import INVALID, MISSING, fingerprint, read_bearer
from services.gateway.domain.forms import BadForm


@pytest.mark.parametrize(
    ("check", "field"),
    [
        (lambda: forms.check_selection(["a"], {"k": "v"}), "account_ids"),
        (lambda: forms.check_selection(["a", ""], {}), "account_ids[1]"),
        (lambda: forms.check_selection(["a" * 129], {}), "account_ids[0]"),
        (lambda: forms.check_selection(["a\n"], {}), "account_ids[0]"),
        (lambda: forms.check_selection(["a"] * 100_001, {}), "account_ids"),
        (lambda: forms.check_selection([], {"k": ""}), "match_labels"),
        (lambda: forms.check_selection([], {"k k": "v"}), "match_labels"),
        (lambda: forms.check_selection([], {f"k{i}": "v" for i in range(65)}), "match_labels"),
        (lambda: forms.check_request_id("a" * 129), "request_id"),
        (lambda: forms.check_request_id("a\x00"), "request_id"),
        (lambda: forms.check_page(-1, "", 1000), "page_size"),
        (lambda: forms.check_page(1001, "", 1000), "page_size"),
        (lambda: forms.check_page(1, "x" * 2000, 1000), "page_token"),
        (lambda: forms.check_duration("wait_for", -1, 0), "wait_for"),
        (lambda: forms.check_duration("wait_for", 0, -1), "wait_for"),
        (lambda: forms.check_duration("wait_for", 0, 2_000_000_000), "wait_for"),
        (lambda: forms.check_duration("wait_for", 3600, 1), "wait_for"),
        (lambda: forms.check_worker_id("worker_id", "W 1"), "worker_id"),
        (lambda: forms.check_worker_id("worker_id", ""), "worker_id"),
        (lambda: forms.check_enum("role", 0, {0: "ROLE_UNSPECIFIED", 1: "ROLE_VIEWER"}), "role"),
        (lambda: forms.check_enum("role", 99, {0: "ROLE_UNSPECIFIED", 1: "ROLE_VIEWER"}), "role"),
        (lambda: forms.check_name("name", "  "), "name"),
        (lambda: forms.check_name("name", "n" * 65), "name"),
        (lambda: forms.check_mask([], ("name",)), "update_mask"),
        (lambda: forms.check_mask(["secret"], ("name",)), "update_mask"),
        (lambda: forms.check_timestamp("expire_time", -1, 0), "expire_time"),
    ],
)
def test_a_bad_form_names_its_field(check: object, field: str) -> None:
    with pytest.raises(BadForm) as caught:
        check()  # type: ignore[operator]
    assert caught.value.field == field
    assert caught.value.sentence.endswith(".")


def test_good_forms_pass() -> None:
    forms.check_selection([], {})
    forms.check_selection(["alice", "+4915112345678", "acc_0123456789ab", "Привет"], {})
    forms.check_selection([], {"team": "eu-1.2_x"})
    forms.check_duration("wait_for", 3600, 0)
    forms.check_page(0, "", 1000)
    forms.check_request_id("")


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ([], MISSING),
        (["Bearer tgf_0123456789"], "tgf_0123456789"),
        (["bearer   tgf_0123456789 "], "tgf_0123456789"),
        (["Bearer tgf_short"], INVALID),
        (["Bearer tgf_" + "x" * 300], INVALID),
        (["Bearer tgf_bad/char000"], INVALID),
    ],
)
def test_reading_the_bearer(values: list[str], verdict: object) -> None:
    assert read_bearer(values) == verdict


def test_the_fingerprint_does_not_hold_the_token() -> None:
    assert b"0123456789" not in fingerprint("tgf_0123456789")
    assert fingerprint("tgf_0123456789") != fingerprint("tgf_0123456780")
