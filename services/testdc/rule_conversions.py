"""Protobuf messages about rules and flood policies to domain objects and back."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration

from services.runtime.errors import InvalidArgument
from services.testdc.conversions import enum_in, enum_out
from services.testdc.domain.costs import Cost
from services.testdc.domain.floodpolicy import FloodPolicy, FloodState, Shape, draw
from services.testdc.domain.floods import Rule
from services.testdc.domain.ledger import OnRepeat
from tgfleet.testdc.v1 import control_pb2 as pb

_FOURTEEN_DAYS = 14 * 86_400.0


def on_repeat_in(value: int) -> OnRepeat:
    """What a repeated random_id gets; raises InvalidArgument for nothing."""
    return enum_in(OnRepeat, pb.OnRepeat, value, "on_repeat")


def cost_in(cost: pb.MethodCost) -> Cost:
    """What a method costs; raises InvalidArgument for less than nothing."""
    per_call, per_message = seconds(cost.per_call), seconds(cost.per_message)
    if per_call < 0 or per_message < 0 or not cost.method:
        raise InvalidArgument("A cost names a method and is not negative.", field="costs")
    return Cost(per_call, per_message)


def policy_in(policy: pb.FloodPolicy) -> FloodPolicy:
    """A flood policy as written, or as its seed draws it; raises InvalidArgument."""
    if not policy.shape:
        return draw(policy.seed, time_scale=policy.time_scale or 1.0)
    if policy.budget <= 0 or seconds(policy.period) <= 0:
        raise InvalidArgument("A flood policy needs a budget and a period.", field="policy")
    return FloodPolicy(
        shape=enum_in(Shape, pb.FloodShape, policy.shape, "shape"),
        budget=policy.budget,
        period=seconds(policy.period),
        wait=seconds(policy.wait),
        escalation=policy.escalation or 1.0,
        forgiven_after=seconds(policy.forgiven_after),
        punishment=policy.punishment or 1.0,
        recovered=policy.recovered if policy.HasField("recovered") else 1.0,
        longest=seconds(policy.longest) or _FOURTEEN_DAYS,
        counts_calls=policy.counts_calls,
        premium=policy.premium,
    )


def rule_out(rule: Rule) -> pb.FloodPolicy:
    """A policy in force."""
    policy = rule.policy
    return pb.FloodPolicy(
        policy_id=rule.rule_id,
        user_id=rule.user_id,
        methods=rule.methods,
        shape=enum_out(pb.FloodShape, policy.shape),
        budget=policy.budget,
        period=duration(policy.period),
        wait=duration(policy.wait),
        escalation=policy.escalation,
        forgiven_after=duration(policy.forgiven_after),
        punishment=policy.punishment,
        recovered=policy.recovered,
        longest=duration(policy.longest),
        counts_calls=policy.counts_calls,
        premium=policy.premium,
    )


def standing_out(rule: Rule, user_id: int, method: str, state: FloodState, now: float) -> pb.FloodStanding:
    """One account's standing."""
    return pb.FloodStanding(
        policy_id=rule.rule_id,
        user_id=user_id,
        method=method,
        left=rule.policy.left(state, now),
        wait_left=max(state.until - now, 0.0),
        strikes=state.strikes,
    )


def seconds(duration_: Duration) -> float:
    """A duration in seconds; 0 when unset."""
    return duration_.seconds + duration_.nanos / 1e9


def duration(value: float) -> Duration:
    """Seconds as protobuf writes them."""
    message = Duration()
    message.FromNanoseconds(round(value * 1e9))
    return message
