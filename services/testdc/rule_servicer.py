"""The part of the control API on the wire that is about rules for all."""

from __future__ import annotations

from typing import Any

from services.testdc import rule_conversions as convert
from services.testdc.handlers import Control
from tgfleet.testdc.v1 import control_pb2 as pb


class RuleServicer:
    """Repeats, costs and flood policies; see the proto."""

    _control: Control

    async def SetRules(self, request: pb.SetRulesRequest, context: Any) -> pb.SetRulesResponse:
        """See the proto."""
        costs = [(cost.method, convert.cost_in(cost)) for cost in request.costs]
        self._control.set_repeats(
            convert.on_repeat_in(request.on_repeat) if request.HasField("on_repeat") else None,
            request.random_id_life.seconds if request.HasField("random_id_life") else None,
        )
        if request.HasField("refuses_missing"):
            self._control.set_refuses_missing(request.refuses_missing)
        for method, cost in costs:
            self._control.set_cost(method, cost)
        return pb.SetRulesResponse()

    async def SetFloodPolicy(
        self, request: pb.SetFloodPolicyRequest, context: Any
    ) -> pb.SetFloodPolicyResponse:
        """See the proto."""
        wanted = request.policy
        rule = self._control.set_flood_policy(convert.policy_in(wanted), wanted.methods, wanted.user_id)
        return pb.SetFloodPolicyResponse(policy=convert.rule_out(rule))

    async def ListFloodPolicies(
        self, request: pb.ListFloodPoliciesRequest, context: Any
    ) -> pb.ListFloodPoliciesResponse:
        """See the proto."""
        now = self._control.now()
        standings = [
            convert.standing_out(rule, user_id, method, state, now)
            for rule, user_id, method, state in self._control.flood_standings()
        ]
        policies = map(convert.rule_out, self._control.flood_rules())
        return pb.ListFloodPoliciesResponse(policies=policies, standings=standings)

    async def ClearFloodPolicies(
        self, request: pb.ClearFloodPoliciesRequest, context: Any
    ) -> pb.ClearFloodPoliciesResponse:
        """See the proto."""
        cleared = self._control.clear_flood_policies(request.policy_id)
        return pb.ClearFloodPoliciesResponse(cleared=cleared)
