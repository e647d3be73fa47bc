"""Chat: what is answered, what never is, and that a login code from 777000 reaches nothing."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from services.testdc.embed import Fault, FaultKind, NewAccount, channel_peer, group_peer, user_peer
from tests.integration.worker.conftest import MakeWorld, World
from tests.integration.worker.rig import RECONNECTING, RUNNING, eventually
from tgfleet.gateway.v1 import account_pb2
from tgfleet.worker.v1 import worker_pb2

RULES = """
rules:
  - pattern: '(?i)\\bhello\\b'
    reply: 'Hello {first_name}, you said: {text}'
  - pattern: '^code'
    reply: 'LEAK {text}'
"""
CODE = "code 55443 canary-login-code"


@pytest.fixture
def rules(tmp_path: Path) -> str:
    path = tmp_path / "rules.yaml"
    path.write_text(RULES)
    return str(path)


def person(w: World, name: str, **more: Any) -> int:
    return w.dc.control.create_account(NewAccount(first_name=name, virtual=True, **more)).user_id


def texts(w: World, user_id: int, other: int) -> list[str]:
    return [m.text for m in w.dc.control.get_messages(user_id, user_peer(other))]


def answers(w: World) -> list[Any]:
    return [e.message_answered for e in w.house.dispatcher.events if e.HasField("message_answered")]


def received(w: World) -> list[Any]:
    return [e.message_received for e in w.house.dispatcher.events if e.HasField("message_received")]


async def run(w: World, account_id: str, *, chat: bool = True) -> None:
    command = w.house.dispatcher.start([account_id], chat=chat)
    report = await w.house.dispatcher.until_answered(command, account_id)
    assert report.state == RUNNING
    assert report.chatting == chat


async def test_a_listed_user_is_answered_and_it_is_told_and_counted(
    make_world: MakeWorld, rules: str
) -> None:
    w = await make_world(TGFLEET_CHAT_RULES_FILE=rules)
    bob = person(w, "Bob")
    me = w.account("acc_one", policy=account_pb2.ChatPolicy(user_ids=[bob])).user_id
    await run(w, "acc_one")
    w.dc.control.send_message(bob, user_peer(me), "well hello there")
    await w.house.dispatcher.until(lambda: answers(w))
    messages = w.dc.control.get_messages(me, user_peer(bob))
    assert [m.text for m in messages] == ["well hello there", "Hello Bob, you said: well hello there"]
    assert messages[1].reply_to == messages[0].message_id
    (heard,), (said,) = received(w), answers(w)
    assert (heard.chat_id, heard.sender_id, heard.text) == (bob, bob, "well hello there")
    assert said.reply_to_message_id == heard.message_id
    await eventually(lambda: "chat_counts" in w.house.registry.kinds("acc_one"))
    await eventually(lambda: counts(w)[-1] == (1, 1))


def counts(w: World) -> list[tuple[int, int]]:
    facts = [f.chat_counts for f in w.house.registry.facts.values() if f.WhichOneof("kind") == "chat_counts"]
    return sorted((f.received, f.answered) for f in facts) or [(0, 0)]


async def test_groups_and_supergroups_by_their_marked_ids(make_world: MakeWorld, rules: str) -> None:
    w = await make_world(TGFLEET_CHAT_RULES_FILE=rules)
    bob = person(w, "Bob")
    me = w.account("acc_one").user_id
    group = w.dc.control.create_group("G", bob, [me])
    channel = w.dc.control.create_channel("S", bob, [me])
    other = w.dc.control.create_group("Other", bob, [me])
    policy = account_pb2.ChatPolicy(chat_ids=[-group.peer_id, -1_000_000_000_000 - channel.peer_id])
    w.house.registry.accounts["acc_one"].policy = policy
    await run(w, "acc_one")
    for peer in (group_peer(group.peer_id), channel_peer(channel.peer_id), group_peer(other.peer_id)):
        w.dc.control.send_message(bob, peer, "hello all")
    await w.house.dispatcher.until(lambda: len(answers(w)) == 2)
    await asyncio.sleep(0.2)
    assert {a.chat_id for a in answers(w)} == {-group.peer_id, -1_000_000_000_000 - channel.peer_id}
    assert len(received(w)) == 2


async def test_who_is_never_answered(make_world: MakeWorld, rules: str) -> None:
    w = await make_world(TGFLEET_CHAT_RULES_FILE=rules)
    stranger, bot, mate = person(w, "Stranger"), person(w, "Bot", bot=True), person(w, "Mate")
    friend = person(w, "Friend")
    me = w.account("acc_one").user_id
    w.dc.control.add_contact(me, friend)
    broadcast = w.dc.control.create_channel("News", stranger, [me], broadcast=True)
    w.house.registry.accounts["acc_one"].policy = account_pb2.ChatPolicy(
        user_ids=[bot, mate, me, 777000],
        chat_ids=[-1_000_000_000_000 - broadcast.peer_id],
        contacts=True,
    )
    await run(w, "acc_one")
    w.house.dispatcher.send(fleet_users=worker_pb2.FleetUsers(user_ids=[mate, me]))
    await asyncio.sleep(0.1)
    for sender in (stranger, bot, mate):
        w.dc.control.send_message(sender, user_peer(me), "hello you")
    w.dc.control.send_message(stranger, channel_peer(broadcast.peer_id), "hello readers")
    w.dc.control.send_message(me, user_peer(me), "hello myself")
    w.dc.control.send_message(777000, user_peer(me), CODE)
    w.dc.control.send_message(friend, user_peer(me), "hello from a contact")
    await w.house.dispatcher.until(lambda: answers(w))
    await asyncio.sleep(0.3)
    assert [r.sender_id for r in received(w)] == [friend]
    assert [a.chat_id for a in answers(w)] == [friend]
    for other in (stranger, bot, mate):
        assert texts(w, other, me) == ["hello you"]


async def test_a_login_code_reaches_no_event_log_or_fact(
    make_world: MakeWorld, rules: str, capsys: pytest.CaptureFixture[str]
) -> None:
    w = await make_world(TGFLEET_CHAT_RULES_FILE=rules)
    me = w.account("acc_one", policy=account_pb2.ChatPolicy(user_ids=[777000], contacts=True)).user_id
    await run(w, "acc_one")
    w.dc.control.send_message(777000, user_peer(me), CODE)
    w.dc.control.drop_connections(user_id=me)  # and again through the recovery of missed updates
    w.dc.control.send_message(777000, user_peer(me), CODE)
    await eventually(lambda: "link_lost" in w.house.registry.kinds("acc_one"))
    await asyncio.sleep(0.3)
    said = [*map(str, w.house.dispatcher.events), *map(str, w.house.dispatcher.reports)]
    said += [str(f) for f in w.house.registry.facts.values()]
    captured = capsys.readouterr()
    assert not [text for text in [*said, captured.out, captured.err] if "55443" in text or "canary" in text]
    assert texts(w, 777000, me) == [CODE, CODE]


async def test_chat_off_is_silent_and_a_switch_works_while_it_runs(make_world: MakeWorld, rules: str) -> None:
    w = await make_world(TGFLEET_CHAT_RULES_FILE=rules)
    bob = person(w, "Bob")
    me = w.account("acc_one", policy=account_pb2.ChatPolicy(user_ids=[bob])).user_id
    await run(w, "acc_one", chat=False)
    w.dc.control.send_message(bob, user_peer(me), "hello 1")
    await asyncio.sleep(0.2)
    assert not received(w)
    for chat, command_id in ((True, "on-1"), (False, "off-1")):
        w.house.dispatcher.send(
            set_chat=worker_pb2.SetChat(command_id=command_id, account_ids=["acc_one"], chat=chat)
        )
        switched = command_id
        await w.house.dispatcher.until(
            lambda c=switched: [r for r in w.house.dispatcher.reports if r.command_id == c]
        )
        last = w.house.dispatcher.last("acc_one")
        assert last is not None
        assert last.chatting == chat
        w.dc.control.send_message(bob, user_peer(me), f"hello {command_id}")
        if chat:
            await w.house.dispatcher.until(lambda: answers(w))
    await asyncio.sleep(0.2)
    assert len(answers(w)) == 1


async def test_silent_inside_a_flood_wait(make_world: MakeWorld, rules: str) -> None:
    w = await make_world(TGFLEET_CHAT_RULES_FILE=rules)
    bob = person(w, "Bob")
    me = w.account("acc_one", policy=account_pb2.ChatPolicy(user_ids=[bob])).user_id
    await run(w, "acc_one")
    wait = Fault(FaultKind.FLOOD_WAIT, user_id=me, seconds=30, methods=("messages.sendMessage",))
    w.dc.control.set_fault(wait)
    w.dc.control.send_message(bob, user_peer(me), "hello 1")
    await eventually(lambda: "flood_wait" in w.house.registry.kinds("acc_one"))
    w.dc.control.send_message(bob, user_peer(me), "hello 2")
    await w.house.dispatcher.until(lambda: len(received(w)) == 2)
    await asyncio.sleep(0.3)
    sends = [r for r in w.dc.control.get_journal() if r.method == "messages.sendMessage"]
    assert len(sends) == 1
    assert not w.dc.control.judge().flooded
    assert [e for e in w.house.dispatcher.events if e.HasField("flood_wait")]


async def test_rates_and_new_policies(make_world: MakeWorld, rules: str) -> None:
    w = await make_world(TGFLEET_CHAT_RULES_FILE=rules, TGFLEET_CHAT_ANSWERS_PER_CHAT="2")
    bob, eve = person(w, "Bob"), person(w, "Eve")
    me = w.account("acc_one", policy=account_pb2.ChatPolicy(user_ids=[bob])).user_id
    await run(w, "acc_one")
    for n in range(4):
        w.dc.control.send_message(bob, user_peer(me), f"hello {n}")
    await w.house.dispatcher.until(lambda: len(received(w)) == 4)
    await asyncio.sleep(0.3)
    assert len(answers(w)) == 2
    config = worker_pb2.SessionConfig(
        account_id="acc_one", name="one", chat_policy=account_pb2.ChatPolicy(user_ids=[eve]), time_zone="UTC"
    )
    w.house.dispatcher.send(configure=worker_pb2.ConfigureSessions(sessions=[config]))
    await asyncio.sleep(0.1)
    w.dc.control.send_message(eve, user_peer(me), "hello eve")
    await w.house.dispatcher.until(lambda: len(answers(w)) == 3)
    assert answers(w)[-1].chat_id == eve


async def test_messages_missed_during_a_gap_are_answered_once(make_world: MakeWorld, rules: str) -> None:
    w = await make_world(TGFLEET_CHAT_RULES_FILE=rules)
    bob = person(w, "Bob")
    me = w.account("acc_one").user_id
    group = w.dc.control.create_channel("S", bob, [me])
    marked = -1_000_000_000_000 - group.peer_id
    w.house.registry.accounts["acc_one"].policy = account_pb2.ChatPolicy(user_ids=[bob], chat_ids=[marked])
    await run(w, "acc_one")
    w.dc.control.send_message(bob, channel_peer(group.peer_id), "hello while up")
    await w.house.dispatcher.until(lambda: len(answers(w)) == 1)
    away = Fault(FaultKind.RPC_ERROR, user_id=me, code=500, error="AWAY", methods=("initConnection",))
    w.dc.control.set_fault(away)
    w.dc.control.drop_connections(user_id=me)
    await w.house.dispatcher.until_state("acc_one", RECONNECTING)
    await eventually(lambda: not w.dc.control.live_connections(me))
    w.dc.control.send_message(bob, user_peer(me), "hello while down")
    w.dc.control.send_message(bob, channel_peer(group.peer_id), "hello all while down")
    w.dc.control.clear_faults(user_id=me)
    await w.house.dispatcher.until(lambda: len(answers(w)) == 3)
    await asyncio.sleep(0.3)
    assert sorted(r.text for r in received(w)) == [
        "hello all while down",
        "hello while down",
        "hello while up",
    ]
    assert len(answers(w)) == 3
