"""The owner of one session, from the command to start it until it is closed and given back.

One task: acquire, connect, watch, reconnect, and at the end close and release. It watches the client's link
itself instead of trusting what the client believes. Three things end it: a verdict of its own, a stop
command, or its gate, which shuts when the lease cannot be kept.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import structlog

from services.runtime.logs import get_logger
from services.runtime.tasks import cancel_and_wait
from services.worker.acquirer import Granted
from services.worker.chat.desk import ChatDesk
from services.worker.closing import close_link, give_back
from services.worker.connecting import Refusal
from services.worker.domain.counts import Counter
from services.worker.domain.facts import FloodWaited, SessionRan
from services.worker.domain.orders import SessionConfig, StartOne
from services.worker.domain.outcomes import Ending, Outcome, Reason
from services.worker.domain.picture import SessionChanged, SessionReport
from services.worker.domain.rates import AnswerRates
from services.worker.domain.states import Machine, SessionState
from services.worker.domain.telegram import (
    Credentials,
    IncomingMessage,
    LinkCause,
    LinkDown,
    Me,
    Refused,
)
from services.worker.domain.transfer_answers import StillWaiting
from services.worker.domain.verdict import link_sentence, of_refusal
from services.worker.domain.waits import CONNECTING_METHODS
from services.worker.endings import Endings
from services.worker.linklog import LinkLog
from services.worker.metrics import SESSIONS, STARTS
from services.worker.ports import SessionFileError, TelegramClient, Wanted
from services.worker.refusals import AccountRestraint
from services.worker.session import Session
from services.worker.teller import SessionTeller
from services.worker.tools import Tools
from services.worker.transfers.lane import Lane
from services.worker.watching import LinkWatch

_log = get_logger("worker.supervisor")

_CANCEL_LIMIT = 8.0
_CHANNELS_BELOW = -1_000_000_000_000
"""Marked ids of channels and supergroups."""


class Stopped:
    """A stop command, a drain or the shutdown: not an end of the session's own."""


class Supervisor:
    """Runs one session; `run` is its one task."""

    def __init__(self, order: StartOne, command_id: str, tools: Tools) -> None:
        self._tools = tools
        self._assignment = order.assignment
        machine = Machine(SessionState.STARTING, tools.clock.wall())
        self.session = Session(order.account_id, command_id, order.session_file, order.chat, machine)
        self._teller = SessionTeller(self.session, tools, self._on_refused)
        self._client: TelegramClient | None = None
        self._desk: ChatDesk | None = None
        self._lane: Lane | None = None
        self._endings = Endings(self.session, self._teller, tools)
        self._restraint = AccountRestraint(self.session.chat, self._teller, tools.clock)
        self._links = LinkLog(self.session, self._teller, tools.clock)
        self._stable: asyncio.TimerHandle | None = None
        self._end: asyncio.Future[Ending | Stopped] = asyncio.get_running_loop().create_future()

    def report(self) -> SessionReport:
        """How it stands."""
        return self.session.report()

    def join(self, order: StartOne, command_id: str) -> None:
        """Another start command for what is started already: the reports answer that one from now on."""
        self.session.command_id = command_id
        self.set_chat(chat=order.chat)

    def set_chat(self, *, chat: bool, command_id: str = "") -> None:
        """Switches chat handling and reports, in answer to the command if there is one."""
        self.session.wants_chat = chat
        self._switch_desk()
        answer = self.report()
        self._tools.outbox.report(replace(answer, command_id=command_id) if command_id else answer)

    def configure(self, config: SessionConfig) -> None:
        """The account was changed."""
        self.session.follow(config)

    def stop(self, command_id: str = "") -> None:
        """Asks for a clean stop. Idempotent."""
        if command_id and not self.session.machine.ended:
            self.session.command_id = command_id
        self._finish_with(Stopped())

    @property
    def stopping(self) -> bool:
        """Whether it will not run any more."""
        return self._end.done() or self.session.machine.ended

    async def run(self) -> None:
        """Until the session is closed and given back."""
        structlog.contextvars.bind_contextvars(account_id=self.session.account_id)
        SESSIONS.labels(SessionState.STARTING).inc()
        self._teller.tell()
        life = asyncio.create_task(self._live(), name=f"session {self.session.account_id}")
        try:
            either: set[asyncio.Future[Any]] = {life, self._end}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not self._end.done():
                self._end.set_result(self._endings.of_life(life))
            await cancel_and_wait(life, limit=_CANCEL_LIMIT)
            await self._finish(self._end.result())
        finally:
            life.cancel()
            if self._stable is not None:
                self._stable.cancel()

    async def _live(self) -> Ending:
        try:
            key = (
                await self._tools.catalog.key_of(self.session.session_file)
                if self.session.session_file
                else ""
            )
            untold = self._tools.facts.waits(self.session.account_id)
            granted = await self._tools.acquirer.acquire(
                Wanted(self.session.account_id, key, self._assignment)
            )
            if isinstance(granted, Ending):
                return granted
            self._adopt(granted, untold)
            credentials = await self._credentials(granted)
        except SessionFileError as error:
            reason = Reason.SESSION_MISSING if error.missing else Reason.SESSION_INVALID
            return Ending(Outcome.FAILED, reason, str(error))
        clock = self._tools.clock
        waits_until = self.session.chat.waits.blocking(CONNECTING_METHODS, clock.monotonic())
        if waits_until is not None:
            detail = "Telegram told this account to wait before it may connect; the wait still runs."
            retry = clock.wall() + timedelta(seconds=waits_until - clock.monotonic())
            return Ending(Outcome.WAITING, Reason.FLOOD_WAIT, detail, retry)
        return await self._serve(granted, credentials)

    async def _serve(self, granted: Granted, credentials: Credentials) -> Ending:
        try:
            client = self._tools.clients.make(credentials, granted.gate, self._on_message, self._restraint)
        except LinkDown as error:
            return Ending(Outcome.FAILED, Reason.PROXY_ERROR, error.detail)
        self._client = client
        self._desk = self._make_desk(client)
        self._lane = self._make_lane(client)
        me = await self._tools.connector.first(client, self.session.expected_user)
        if isinstance(me, Me):
            self._running(me)
        while isinstance(me, Me):
            limits = self._tools.limits
            watch = LinkWatch(client, limits.ping_interval, limits.probe_interval, self._endings.note_wait)
            lost = await watch.until_down()
            if isinstance(lost, Refusal):
                return self._endings.of(lost)
            me = await self._reconnect(client, lost)
        return self._endings.of(me)

    def _adopt(self, granted: Granted, untold: Iterable[FloodWaited]) -> None:
        self.session.adopt(granted, self._tools.clock, untold)
        granted.gate.on_shut(self._on_gate_shut)

    def _on_gate_shut(self) -> None:
        self._finish_with(self._endings.fenced())

    async def _credentials(self, granted: Granted) -> Credentials:
        grant = granted.grant
        if grant.credentials is not None:
            return grant.credentials
        found = await self._tools.catalog.open(self.session.session_file)
        if self._tools.catalog.key_id(found) != grant.auth_key_id:
            raise SessionFileError("The session file was replaced by another one while it was being started.")
        self.session.expected_user = grant.user_id or found.user_id
        return replace(
            found, api_id=grant.api_id or found.api_id, device_model=grant.device_model, proxy=grant.proxy
        )

    def _make_desk(self, client: TelegramClient) -> ChatDesk:
        tools, limits = self._tools, self._tools.limits
        return ChatDesk(
            self.session.chat,
            client,
            tools.responder,
            tools.fleet_ids,
            rates=AnswerRates(limits.answers_per_chat, limits.answers_per_account),
            counter=tools.counters.setdefault(self.session.account_id, Counter()),
            teller=self._teller,
            clock=tools.clock,
            on_failure=tools.on_failure,
        )

    def _make_lane(self, client: TelegramClient) -> Lane:
        tools = self._tools
        return Lane(client.transfers, self.session.chat, self._teller, tools.clock, tools.transfers.answer)

    def _running(self, me: Me) -> None:
        """Telegram answered for the user."""
        first = self.session.machine.state is SessionState.STARTING
        self.session.user_id = self.session.chat.own_id = me.user_id
        self._links.up()
        self._move(SessionState.RUNNING)
        self._switch_desk()
        self._open_lane()
        if first:
            STARTS.labels("STARTED", "").inc()
            self._teller.remember(SessionRan(me.user_id, stable=False))
            self._stable = asyncio.get_running_loop().call_later(
                self._tools.limits.stable_after, self._teller.remember, SessionRan(me.user_id, stable=True)
            )

    async def _reconnect(self, client: TelegramClient, lost: LinkDown) -> Me | Refusal:
        detail = link_sentence(lost.cause)
        self._move(SessionState.RECONNECTING, detail=f"{detail} The link is being made anew.")
        self._links.lost(lost.cause)
        if self._lane is not None:
            self._lane.link(up=False)
        await client.close()
        me = await self._tools.connector.again(client, self.session.user_id, lost, self._still_down)
        if isinstance(me, Refusal):
            self._links.given_up()
            return me
        self._links.back()
        self._running(me)
        await self._recover(client)
        return me

    def _still_down(self, refusal: Refusal) -> None:
        """An attempt to reconnect was in vain: people see why, if that is new."""
        session, verdict = self.session, refusal.verdict
        if (session.reason, session.detail) != (verdict.reason, verdict.detail):
            session.reason, session.detail = verdict.reason, verdict.detail
            self._teller.tell()

    async def _recover(self, client: TelegramClient) -> None:
        """Missed updates; if they cannot be had, the next ones come anyway."""
        try:
            chat_ids = self.session.chat.policy.chat_ids if self.session.chatting else ()
            channels = [one for one in chat_ids if one < _CHANNELS_BELOW]
            await client.recover(self._tools.limits.recover_limit, channels)
        except (LinkDown, Refused, StillWaiting) as error:
            _log.warning("missed updates were not recovered", error=str(error))

    def _on_refused(self, error: Refused) -> None:
        """A call of the chat desk was refused in a way that may end the session."""
        verdict = of_refusal(error)
        if verdict.died:
            self._finish_with(self._endings.of(Refusal(verdict, error.method)))

    def _finish_with(self, ending: Ending | Stopped) -> None:
        if not self._end.done():
            self._end.set_result(ending)
        if self._lane is not None:
            self._lane.refuse()

    async def _finish(self, end: Ending | Stopped) -> None:
        session, stopped = self.session, isinstance(end, Stopped)
        if isinstance(end, Stopped):
            self._move(SessionState.STOPPING)
        await asyncio.gather(*(one.close() for one in (self._desk, self._lane) if one is not None))
        if self._lane is not None:
            self._tools.transfers.leave(session.account_id, self._lane)
        clean = await close_link(self._client, session.granted, last_ping=stopped)
        self._links.closed(LinkCause.STOPPED)
        if stopped and clean and session.user_id:
            self._teller.remember(SessionRan(session.user_id, stable=True))
        session.released = await give_back(self._tools, session, clean=clean)
        if isinstance(end, Ending):
            session.ending = end
            if session.machine.state is SessionState.STARTING:
                STARTS.labels(end.outcome, end.reason).inc()
            self._move(SessionState.FAILED, end.reason, end.detail)
        else:
            self._move(SessionState.STOPPED)

    def _move(self, to: SessionState, reason: Reason = Reason.UNSPECIFIED, detail: str = "") -> None:
        SESSIONS.labels(self.session.machine.state).dec()
        self.session.move(to, self._tools.clock.wall(), reason, detail)
        if not self.session.machine.ended:
            SESSIONS.labels(to).inc()
        self._teller.tell()
        self._teller.happen(detail or f"The session is {to}.", SessionChanged(to, reason))

    def _open_lane(self) -> None:
        granted = self.session.granted
        if self._lane is not None and granted is not None:
            self._lane.link(up=True)
            self._tools.transfers.enter(self.session.account_id, granted.grant.token, self._lane)

    def _switch_desk(self) -> None:
        if self._desk is not None:
            self._desk.enabled = self.session.chatting

    def _on_message(self, message: IncomingMessage) -> None:
        if self._desk is not None:
            self._desk.take(message)
