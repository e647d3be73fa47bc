"""Secrets that a worker holds must show up nowhere: not in its log at the most talkative level, not in its
metrics, not in what it says to the scheduler and the registry."""

import asyncio
import urllib.request
from pathlib import Path

from services.testdc.embed import NewAccount, TestDataCentre, user_peer
from tests.integration.worker.rig import RUNNING, House, WorkerProcess, environ, eventually
from tests.support.fleet import free_port
from tgfleet.gateway.v1 import account_pb2

PROXY_PASSWORD, CODE, WORDS = "canary-proxy-password", "canary 55443", "hello canary-private-words"


def scrape(port: int) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        return bytes(answer.read())


async def test_no_secret_shows_up(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text("rules: [{pattern: hello, reply: 'and canary-answer-words to you'}]")
    async with TestDataCentre() as dc, House() as house:
        bob = dc.control.create_account(NewAccount(first_name="Bob", virtual=True)).user_id
        fine = dc.control.create_account(NewAccount(first_name="Fine"))
        proxied = dc.control.create_account(NewAccount(first_name="Proxied"))
        house.enrol("acc_fine", fine, policy=account_pb2.ChatPolicy(user_ids=[bob]))
        house.enrol("acc_proxied", proxied, proxy=f"socks5://me:{PROXY_PASSWORD}@127.0.0.1:9")
        port = free_port()
        settings = environ(
            house,
            dc,
            TGFLEET_LOG_LEVEL="debug",
            TGFLEET_LOG_FORMAT="json",
            TGFLEET_CONNECT_TIMEOUT="1s",
            TGFLEET_METRICS_LISTEN=f"127.0.0.1:{port}",
            TGFLEET_CHAT_RULES_FILE=str(rules),
        )
        async with WorkerProcess(settings) as worker:
            d = house.dispatcher
            await d.until(lambda: d.hellos)
            command = d.start(["acc_fine", "acc_proxied"], chat=True)
            assert (await d.until_answered(command, "acc_fine")).state == RUNNING
            await d.until_answered(command, "acc_proxied")
            dc.control.send_message(777000, user_peer(fine.user_id), CODE)
            dc.control.send_message(bob, user_peer(fine.user_id), WORDS)
            await d.until(lambda: [e for e in d.events if e.HasField("message_answered")])
            dc.control.kill_key(fine.auth_key_id, "SESSION_REVOKED")
            dc.control.drop_connections(user_id=fine.user_id)
            await eventually(lambda: "session_died" in house.registry.kinds("acc_fine"))
            metrics = await asyncio.to_thread(scrape, port)
            assert b'tgfleet_worker_messages_total{what="answered"} 1.0' in metrics
            worker.log += metrics
            assert await worker.stop() == 0
        said = worker.log.decode()
        told = "".join(map(str, [*d.events, *d.reports, *d.hellos, *house.registry.facts.values()]))
        for secret in (
            PROXY_PASSWORD,
            "55443",
            "0123456789abcdef0123456789abcdef",
            fine.pyrogram_session,
            fine.auth_key.hex(),
            repr(fine.auth_key)[2:40],
        ):
            assert secret not in said
            assert secret not in told
        assert "canary-private-words" not in said, "message text is for operators, not for logs"
        assert "canary-answer-words" not in said
        assert "Traceback" not in said
