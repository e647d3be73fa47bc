"""Only the scheduler assigns: what a worker shows the registry must be the scheduler's word, to it, fresh."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.registry.adapters.assignments import SignedAssignments
from services.runtime.clock import SystemClock
from services.scheduler.adapters.assigning import LIFETIME, Assigner
from tests.support.certificates import Authority
from tgfleet.worker.v1 import worker_pb2


class Clock(SystemClock):
    """The system's, put forward."""

    def __init__(self, ahead: timedelta = timedelta()) -> None:
        super().__init__()
        self.ahead = ahead

    def wall(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


@pytest.fixture
def registry(authority: Authority) -> SignedAssignments:
    return SignedAssignments(authority.issue("registry", "r-1").certificates(), Clock())


def signed(authority: Authority, who: str = "scheduler", worker: str = "w-1", term: int = 3) -> bytes:
    assigner = Assigner(authority.issue(who, "x").certificates(), Clock())
    return assigner.assignment(worker, term, ["acc_1", "acc_2"])


def test_the_schedulers_word_counts(authority: Authority, registry: SignedAssignments) -> None:
    assert registry.assigned("w-1", [signed(authority)]) == {"acc_1", "acc_2"}
    assert registry.assigned("w-1", []) == frozenset()


def test_it_is_for_that_worker_alone(authority: Authority, registry: SignedAssignments) -> None:
    assert registry.assigned("w-2", [signed(authority)]) == frozenset()


@pytest.mark.parametrize("who", ["worker", "gateway", "registry"])
def test_nobody_else_assigns(authority: Authority, registry: SignedAssignments, who: str) -> None:
    assert registry.assigned("w-1", [signed(authority, who)]) == frozenset()


def test_nor_a_scheduler_of_another_ca(registry: SignedAssignments, tmp_path: Path) -> None:
    assert registry.assigned("w-1", [signed(Authority(tmp_path / "other"))]) == frozenset()


def test_it_lasts_minutes(authority: Authority, registry: SignedAssignments) -> None:
    later = SignedAssignments(authority.issue("registry", "r-2").certificates(), Clock(LIFETIME))
    one = signed(authority)
    assert registry.assigned("w-1", [one])
    assert later.assigned("w-1", [one]) == frozenset()


def test_a_leader_that_was_replaced_assigns_nothing(
    authority: Authority, registry: SignedAssignments
) -> None:
    assert registry.assigned("w-1", [signed(authority, term=3)])
    assert registry.assigned("w-1", [signed(authority, term=4)])
    assert registry.assigned("w-1", [signed(authority, term=3)]) == frozenset()


def _more_accounts(message: worker_pb2.SignedAssignment) -> None:
    said = worker_pb2.Assignment.FromString(message.assignment)
    said.account_ids.append("acc_3")
    message.assignment = said.SerializeToString()


def _no_certificate(message: worker_pb2.SignedAssignment) -> None:
    message.certificate = b""


def _no_signature(message: worker_pb2.SignedAssignment) -> None:
    message.signature = b""


@pytest.mark.parametrize("change", [_more_accounts, _no_certificate, _no_signature])
def test_it_cannot_be_changed(
    authority: Authority,
    registry: SignedAssignments,
    change: Callable[[worker_pb2.SignedAssignment], None],
) -> None:
    message = worker_pb2.SignedAssignment.FromString(signed(authority))
    change(message)
    assert registry.assigned("w-1", [message.SerializeToString()]) == frozenset()
    assert registry.assigned("w-1", [b"\xff\xff"]) == frozenset()
