"""Whether what the fleet said is what was to be expected, and what the data centre saw. Pure."""

from collections.abc import Iterable, Sequence

from services.standalone.demo.samples import Sample, Trace
from tgfleet.gateway.v1 import result_pb2
from tgfleet.testdc.v1 import control_pb2

_FORBIDDEN = {
    control_pb2.VIOLATION_KIND_DUPLICATED: "used by two at once",
    control_pb2.VIOLATION_KIND_OVERLAP: "used by two in turn",
    control_pb2.VIOLATION_KIND_FLOODED: "called inside a wait",
}


def outcome_name(outcome: int, reason: int) -> str:
    """`FAILED SESSION_REVOKED`, `STARTED`."""
    names = [result_pb2.Outcome.Name(outcome).removeprefix("OUTCOME_")]  # type: ignore[arg-type]
    if reason != result_pb2.REASON_UNSPECIFIED:
        names.append(result_pb2.Reason.Name(reason).removeprefix("REASON_"))  # type: ignore[arg-type]
    return " ".join(names)


def differs(result: result_pb2.AccountResult, outcome: int, reason: int) -> str:
    """What was expected instead of this result; empty when it is as expected."""
    if (result.outcome, result.reason) == (outcome, reason):
        return ""
    said, expected = outcome_name(result.outcome, result.reason), outcome_name(outcome, reason)
    return f"{result.name}: {said} instead of {expected}"


def missing(samples: Iterable[Sample], results: Sequence[result_pb2.AccountResult]) -> list[str]:
    """Each sample has exactly one result."""
    count = {sample.name: 0 for sample in samples}
    for result in results:
        count[result.name] = count.get(result.name, 0) + 1
    return [f"{name}: {number} results instead of one" for name, number in count.items() if number != 1]


def journal_denies(
    sample: Sample, auth_key_id: str, stranger: str, records: Iterable[control_pb2.Record]
) -> str:
    """What the journal shows that contradicts the sample's outcome; empty when it agrees.

    `stranger` is the address of the other program, whose calls are not the fleet's.
    """
    calls = [
        record
        for record in records
        if auth_key_id
        and record.auth_key_id == auth_key_id
        and not record.service
        and record.peer != stranger
    ]
    answered = any(record.outcome == control_pb2.OUTCOME_OK for record in calls if _tells_of_user(record))
    match sample.trace:
        case Trace.ANSWERED:
            agrees = answered
        case Trace.UNTOUCHED:
            agrees = not calls
        case Trace.REFUSED:
            agrees = not answered and any(record.error.startswith(sample.error) for record in calls)
        case Trace.SILENT:
            agrees = bool(calls) and not any(record.outcome == control_pb2.OUTCOME_OK for record in calls)
    shown = ", ".join(sorted({record.error or record.method for record in calls})) or "nothing"
    return (
        ""
        if agrees
        else f"{sample.name}: the journal does not show that it {sample.trace.value}, but {shown}"
    )


def forbidden(violations: Iterable[control_pb2.Violation], allowed_keys: frozenset[str]) -> list[str]:
    """The judge's sentences on keys other than those that a stranger was let use."""
    return [
        violation.sentence
        for violation in violations
        if violation.kind in _FORBIDDEN and violation.auth_key_id not in allowed_keys
    ]


def _tells_of_user(record: control_pb2.Record) -> bool:
    return record.method.startswith("users.")
