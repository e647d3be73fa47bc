"""Handles API calls: faults first, then the life of the key, then the method, then who must hear of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from services.testdc.api import notes, registry
from services.testdc.api.notes import Asked
from services.testdc.api.present import Presenter
from services.testdc.domain.errors import TelegramError
from services.testdc.domain.faults import FaultKind, Plan, may_call_without_login, reads_only
from services.testdc.domain.forwarding import Forwarded
from services.testdc.domain.journal import Outcome, RecordKind
from services.testdc.domain.keys import DUPLICATED, AuthKey
from services.testdc.domain.peer import PeerKind
from services.testdc.domain.peers import User
from services.testdc.domain.speech import Delivery
from services.testdc.mtproto.dialogue import Dialogue
from services.testdc.mtproto.reading import ClientMessage
from services.testdc.scribe import Scribe
from services.testdc.state import State
from services.testdc.tl import raw

log = logging.getLogger(__name__)

_AT_ONCE = 10
"""Of more new messages of a channel at once clients hear only updateChannelTooLong."""
_NOBODY = User(0, "", "")
_BAD = {16: "MSG_ID_TOO_LOW", 17: "MSG_ID_TOO_HIGH", 48: "BAD_SERVER_SALT"}
"""https://core.telegram.org/mtproto/service_messages_about_messages#notice-of-ignored-error-message"""


@dataclass(frozen=True, slots=True)
class _Request:
    """One call on its way."""

    dialogue: Dialogue
    msg_id: int
    query: Any
    wrappers: tuple[str, ...]
    method: str
    asked: Asked
    inside_wait: float = 0.0
    """Seconds that were left of a wait when it came."""


class CallDesk:
    """Carries out what clients call."""

    def __init__(self, state: State, scribe: Scribe, on_sent: Callable[[Sequence[Delivery]], None]) -> None:
        self._state = state
        self._scribe = scribe
        self._on_sent = on_sent
        """Told of every change that produced deliveries, for the journal of messages."""
        self._late: set[asyncio.TimerHandle] = set()

    def ping(self, dialogue: Dialogue, method: str) -> None:
        """See Desk."""
        self._use(dialogue)
        outcome = Outcome.NO_ANSWER if dialogue.mute else Outcome.OK
        self._note(RecordKind.CALL, dialogue, method=method, service=True, outcome=outcome)

    def rejected(self, dialogue: Dialogue, code: int) -> None:
        """See Desk. Shows that somebody spoke on the key, though Telegram's rule does not count it."""
        outcome = Outcome.NO_ANSWER if dialogue.mute else Outcome.ERROR
        self._note(
            RecordKind.CALL,
            dialogue,
            method="rejected",
            service=True,
            outcome=outcome,
            code=code,
            error=_BAD[code],
        )

    def call(self, dialogue: Dialogue, message: ClientMessage) -> None:
        """See Desk."""
        request = self._arrived(_unwrap(dialogue, message))
        self._use(dialogue)
        if dialogue.mute:
            self._record(request, Outcome.NO_ANSWER)
            return
        subject = self._state.subject(dialogue.link)
        names = (*request.wrappers, request.method)
        if dialogue.key.dead is not None:
            self._refuse(request, dialogue.key.dead)
            return
        plan = self._state.faults.on_call(subject, names, self._state.clock.monotonic())
        if plan.error is not None:
            self._refuse(request, plan.error, plan.wait)
        elif plan.drop_before:
            self._record(request, Outcome.NO_ANSWER)
            dialogue.link.close("dropped before a call, as told")
        elif plan.bad_msg and not plan.mute:
            self._record(request, Outcome.ERROR, code=plan.bad_msg, error="BAD_MSG_NOTIFICATION")
            dialogue.notify_bad(request.msg_id, plan.bad_msg)
        elif flood := self._state.floods.ask(*self._counted(request)):
            self._refuse(request, flood[1], flood[0])
        elif (plan := self._with_cost(request, plan)).delay or plan.drop_now:
            self._postpone(request, plan)
        else:
            self._carry_out(request, plan)

    def deliver(self, deliveries: Sequence[Delivery], beside: Dialogue | None = None) -> None:
        """Push events to the last active link of every login concerned, except the caller's own."""
        now = int(self._state.clock.wall().timestamp())
        for delivery in deliveries:
            updates = b""
            for key in self._state.keys.of_user(delivery.user_id):
                dialogue = self._state.dialogues.get(key.use.latest or 0)
                if dialogue is None or dialogue is beside or key.dead or not dialogue.updates:
                    continue
                if self._state.suffers(dialogue.link, FaultKind.SILENT):
                    continue
                updates = updates or self._updates(delivery, now)
                dialogue.push(updates)
        self._on_sent(deliveries)

    def _updates(self, delivery: Delivery, now: int) -> bytes:
        """What a user's clients are told; of many events of a channel only that there are many."""
        eyes = self._eyes(delivery.user_id)
        peer = delivery.events[0].peer
        if peer.kind is PeerKind.CHANNEL and len(delivery.events) > _AT_ONCE:
            return registry.encode(eyes.too_many(peer, now))
        return registry.encode(eyes.updates(delivery.events, now))

    def kill(self, key: AuthKey, error: TelegramError, detail: str) -> None:
        """Every further call of this key gets this error."""
        key.dead = error
        self._state.touch()
        self._scribe.note(
            RecordKind.KEY_DIED, auth_key_id=key.key_id, user_id=key.user_id, error=error.name, detail=detail
        )

    def close(self) -> None:
        """Forget effects that are still to come."""
        for handle in self._late:
            handle.cancel()

    def _use(self, dialogue: Dialogue) -> None:
        """Apply Telegram's rule for keys that are used twice."""
        if dialogue.link.media:
            return
        key, mine = dialogue.key, dialogue.link.connection_id
        other = key.use.request(mine)
        if other is not None and key.dead is None and key.user_id:
            self.kill(key, DUPLICATED, f"connections {mine} and {other} sent requests in turn")

    def _postpone(self, request: _Request, plan: Plan) -> None:
        seq = self._record(request, Outcome.PENDING)
        action = partial(self._carry_out, request, plan, seq)
        if plan.drop_now:
            request.dialogue.link.close("dropped with a call still to be carried out, as told")
        if not plan.late:
            request.dialogue.link.later(plan.delay, action)
            return

        def run() -> None:
            self._late.discard(handle)
            action()

        handle = asyncio.get_running_loop().call_later(plan.delay, run)
        self._late.add(handle)

    def _carry_out(self, request: _Request, plan: Plan, call_seq: int = 0) -> None:
        dialogue = request.dialogue
        if dialogue.key.dead is not None:  # it may have died while a slow call was on its way
            self._refuse(request, dialogue.key.dead, call_seq=call_seq)
            return
        try:
            result, forwarded = self._run(request)
        except TelegramError as e:
            self._refuse(request, e, call_seq=call_seq)
            return
        if not reads_only(request.method):
            self._state.touch()
        self._state.floods.charge(*self._counted(request))
        silent = plan.mute or plan.drop_after
        made = notes.made(forwarded, request.asked) if forwarded else ()
        self._record(
            request, Outcome.NO_ANSWER if silent else Outcome.OK, call_seq, effect=True, target_ids=made
        )
        if plan.bad_msg:
            dialogue.notify_bad(request.msg_id, plan.bad_msg)
        elif plan.drop_after:
            dialogue.link.close("dropped after a call, as told")
        elif not silent:
            dialogue.answer(request.msg_id, result)

    def _run(self, request: _Request) -> tuple[bytes, Forwarded | None]:
        dialogue = request.dialogue
        me = self._state.world.users.get(dialogue.key.user_id, _NOBODY)
        if me is _NOBODY and not may_call_without_login(request.method):
            raise TelegramError(401, "AUTH_KEY_UNREGISTERED")
        subject = self._state.subject(dialogue.link)
        call = registry.Call(
            world=self._state.world,
            me=me,
            present=self._eyes(me.user_id),
            now=int(self._state.clock.wall().timestamp()),
            endpoint=self._state.endpoint,
            frozen=self._state.faults.applies(subject, FaultKind.FROZEN),
            deliver=partial(self.deliver, beside=dialogue),
        )
        try:
            return registry.run(call, request.query), call.forwarded
        except TelegramError:
            raise
        except Exception as e:  # a bug of ours must look to clients like Telegram's own, and be seen here
            log.exception("%s failed", request.method)
            raise TelegramError(500, "RPC_CALL_FAIL") from e

    def _counted(self, request: _Request) -> tuple[int, str, int, float]:
        """What flood policies count of a call."""
        now = self._state.clock.monotonic()
        return request.dialogue.key.user_id, request.method, request.asked.messages, now

    def _arrived(self, request: _Request) -> _Request:
        """The request with what the journal wants to know of it."""
        user_id, now = request.dialogue.key.user_id, self._state.clock.monotonic()
        left = self._state.waits.left(user_id, request.method, request.asked.target_chat, now)
        return replace(request, inside_wait=left) if left else request

    def _with_cost(self, request: _Request, plan: Plan) -> Plan:
        """A call that costs time is carried out when its turn comes, whether the link lives then or not."""
        client, now = request.dialogue.key.key_id, self._state.clock.monotonic()
        cost = self._state.costs.take(client, request.method, request.asked.messages, now)
        return replace(plan, delay=plan.delay + cost, late=True) if cost else plan

    def _refuse(self, request: _Request, error: TelegramError, wait: int = 0, call_seq: int = 0) -> None:
        outcome = Outcome.FLOOD_WAIT if wait else Outcome.ERROR
        self._state.touch()
        fields: dict[str, Any] = {}
        if told := wait or _slow_mode(error):
            chat = "" if wait else request.asked.target_chat
            until = self._state.clock.monotonic() + told
            self._state.waits.note(request.dialogue.key.user_id, request.method, chat, until)
            fields = {"wait": told, "wait_until": self._state.clock.wall().timestamp() + told}
        self._record(request, outcome, call_seq, code=error.code, error=error.name, **fields)
        request.dialogue.answer(request.msg_id, registry.encode_error(error))

    def _record(self, request: _Request, outcome: Outcome, call_seq: int = 0, **fields: Any) -> int:
        return self._note(
            RecordKind.ANSWER if call_seq else RecordKind.CALL,
            request.dialogue,
            method=request.method,
            wrappers=request.wrappers,
            outcome=outcome,
            call_seq=call_seq,
            call_id=request.msg_id,
            inside_wait=0.0 if call_seq else request.inside_wait,
            **request.asked.fields(),
            **fields,
        )

    def _note(self, kind: RecordKind, dialogue: Dialogue, **fields: Any) -> int:
        link, key = dialogue.link, dialogue.key
        record = self._scribe.note(
            kind,
            connection_id=link.connection_id,
            peer=link.peer,
            media=link.media,
            auth_key_id=key.key_id,
            user_id=key.user_id,
            **fields,
        )
        return record.seq

    def _eyes(self, user_id: int) -> Presenter:
        return Presenter(self._state.world, self._state.secret, user_id)


def _unwrap(dialogue: Dialogue, message: ClientMessage) -> _Request:
    """Take off invokeWithLayer and the like, which carry the real call in `query`."""
    query, wrappers = message.query, []
    while isinstance(query, raw.functions.InitConnection) or type(query).__name__.startswith("Invoke"):
        if isinstance(query, raw.functions.InvokeWithoutUpdates):
            dialogue.updates = False
        wrappers.append(registry.method_name(query.QUALNAME))
        query = query.query
    method = registry.method_name(query.QUALNAME)
    what = notes.asked(query, dialogue.key.user_id)
    return _Request(dialogue, message.msg_id, query, tuple(wrappers), method, what)


def _slow_mode(error: TelegramError) -> int:
    """Seconds of a SLOWMODE_WAIT_X; 0 for every other error."""
    name, _, seconds = error.name.rpartition("_")
    return int(seconds) if name == "SLOWMODE_WAIT" else 0
