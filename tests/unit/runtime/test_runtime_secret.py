"""A Secret cannot be printed by accident."""

import copy
import json
import pickle
from dataclasses import asdict, dataclass

import pytest

from services.runtime.secret import Secret

CANARY = "hunter2"


@dataclass
class Holder:
    secret: Secret[str]


@pytest.mark.parametrize(
    "show",
    [str, repr, "{}".format, "{!r:>40}".format, "%s".__mod__, lambda s: f"{[s]}", lambda s: repr(Holder(s))],
)
def test_no_way_of_printing_shows_it(show) -> None:  # type: ignore[no-untyped-def]
    assert CANARY not in show(Secret(CANARY))


def test_it_is_not_serialised() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(Secret(CANARY))
    with pytest.raises(TypeError):
        json.dumps(Secret(CANARY))
    assert CANARY not in repr(vars(Holder(Secret(CANARY))))


def test_it_can_be_used() -> None:
    secret = Secret(CANARY)
    assert secret.reveal() == CANARY
    assert secret == Secret(CANARY)
    assert secret != Secret("other")
    assert secret != CANARY
    assert hash(secret) == hash(Secret(CANARY))
    assert bool(secret)
    assert not Secret("")


def test_it_survives_being_copied() -> None:
    assert copy.copy(Secret(CANARY)) == Secret(CANARY)
    assert asdict(Holder(Secret(CANARY)))["secret"] == Secret(CANARY)
