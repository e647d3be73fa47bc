"""The supervisor as a process, over stub children and the real etcd: who lives, who dies, in which order."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import stat
from collections.abc import Callable
from pathlib import Path

import psutil

from tests.integration.standalone.conftest import Up, gone, until

Starts = Callable[..., Up]


def lock_is_free(data: Path) -> bool:
    with (data / "lock").open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def test_all_is_up_when_the_ready_file_is_there_and_ctrl_c_stops_by_stages(up: Starts) -> None:
    fleet = up("etcd", "a:serve:2", "b:serve:1", "c:serve:1")
    facts = fleet.ready()
    assert set(facts["pids"]) == {"etcd", "a", "b", "c"}
    assert all(psutil.pid_exists(pid) for pid in facts["pids"].values())
    assert psutil.Process(facts["pids"]["etcd"]).name() == "etcd"
    assert stat.S_IMODE((fleet.data / "ready.json").stat().st_mode) == 0o600
    family = fleet.family()

    fleet.process.send_signal(signal.SIGINT)
    assert fleet.ended() == 0, fleet.said()
    gone(family, within=0.5)
    started = [name for name, word, _ in fleet.diary() if word == "starts"]
    stopped = [name for name, word, _ in fleet.diary() if word == "stops"]
    assert started == ["a", "b", "c"]
    assert set(stopped[:2]) == {"b", "c"}
    assert stopped[2:] == ["a"]
    assert not (fleet.data / "ready.json").exists()
    assert not (fleet.data / "pids.json").exists()
    assert lock_is_free(fleet.data)


def test_a_killed_child_is_started_again_and_the_ready_file_follows(up: Starts) -> None:
    fleet = up("etcd", "a:serve")
    before = fleet.pids()
    for name in ("a", "etcd"):
        os.kill(before[name], signal.SIGKILL)

        def again(name: str = name) -> bool:
            now = fleet.pids()
            return name in now and now[name] != before[name]

        until(again, 10, fleet.said)
    assert "was killed by SIGKILL; starting again in" in fleet.said()
    fleet.process.terminate()
    assert fleet.ended() == 0


def test_a_killed_guard_takes_its_etcd_along(up: Starts) -> None:
    fleet = up("etcd")
    etcd = psutil.Process(fleet.pids()["etcd"])
    guard = etcd.parent()
    assert guard is not None
    assert guard.pid != fleet.process.pid
    guard.kill()
    gone([etcd], within=5)
    until(lambda: fleet.pids().get("etcd", etcd.pid) != etcd.pid, 10, fleet.said)


def test_nothing_survives_a_supervisor_killed_with_9(up: Starts) -> None:
    fleet = up("etcd", "a:serve", "b:deaf")
    fleet.ready()
    family = fleet.family()
    assert len(family) == 5  # itself, guard, etcd, a, b
    fleet.process.kill()
    gone(family, within=6)
    assert lock_is_free(fleet.data)
    again = up("etcd", "a:serve")
    again.ready()  # what was left in the directory (ready file, pids, etcd's data) is no obstacle


def test_a_second_fleet_on_one_directory_is_refused(up: Starts) -> None:
    first = up("a:serve")
    first.ready()
    second = up("a:serve")
    assert second.ended() == 1
    said = [line for line in second.said().splitlines() if "is in use" in line]
    assert len(said) == 1
    assert f"pid {first.process.pid}" in said[0]
    assert first.process.poll() is None
    assert first.pids()


def test_a_fleet_is_refused_while_an_orphan_lives_and_is_told_which(up: Starts) -> None:
    fleet = up("a:serve")
    orphan = fleet.pids()["a"]
    os.kill(orphan, signal.SIGSTOP)  # cannot notice that its supervisor is gone
    fleet.process.kill()
    fleet.process.wait()
    second = up("a:serve")
    assert second.ended() == 1
    assert f"a (pid {orphan}) of an earlier fleet still lives" in second.said()
    os.kill(orphan, signal.SIGCONT)
    gone([psutil.Process(orphan)] if psutil.pid_exists(orphan) else [], within=6)
    up("a:serve").ready()


def test_a_child_that_never_comes_up_fails_the_start_with_its_last_words(up: Starts) -> None:
    fleet = up("a:serve", "b:die")
    assert fleet.ended() == 1
    assert "b does not come up: it ended with exit code 3" in fleet.said()
    assert "| a word from b" in fleet.said()
    assert ("a", "stops") in [(name, word) for name, word, _ in fleet.diary()]


def test_a_child_that_cannot_use_its_settings_ends_the_start_at_once(up: Starts) -> None:
    fleet = up("a:usage")
    assert fleet.ended() == 2
    assert [word for _, word, _ in fleet.diary()] == ["starts"]
    assert "a: TGFLEET_SOMETHING has a bad value" in fleet.said()


def test_a_child_that_ignores_the_stop_is_killed_in_time(up: Starts) -> None:
    fleet = up("a:deaf")
    fleet.ready()
    family = fleet.family()
    fleet.process.send_signal(signal.SIGTERM)
    assert fleet.ended(within=4) == 0
    assert "did not stop in time and was killed" in fleet.said()
    gone(family, within=0.5)


def test_etcd_data_that_cannot_be_used_is_put_aside(up: Starts) -> None:
    first = up("etcd")
    first.ready()
    first.process.terminate()
    first.ended()
    (first.data / "etcd" / "member" / "snap" / "db").write_bytes(b"no database at all")
    for wal in (first.data / "etcd" / "member" / "wal").glob("*.wal"):
        wal.write_bytes(b"no log at all")
    second = up("etcd")
    second.ready(within=30)
    assert (first.data / "etcd.broken-1").is_dir()
    assert "put aside" in second.said()


def test_a_second_ctrl_c_hurries(up: Starts) -> None:
    fleet = up("a:slow", "b:slow:1")
    fleet.ready()
    fleet.process.send_signal(signal.SIGINT)
    until(lambda: ("a", "lingers") in [entry[:2] for entry in fleet.diary()], 5, fleet.said)
    fleet.process.send_signal(signal.SIGINT)
    assert fleet.ended(within=4) == 0
    assert {name for name, word, _ in fleet.diary() if word == "hurries"} == {"a", "b"}


def test_a_stop_in_the_middle_of_the_start_is_clean(up: Starts) -> None:
    fleet = up("etcd", "a:late")
    until(fleet.diary, 10, fleet.said)
    family = fleet.family()
    fleet.process.send_signal(signal.SIGTERM)
    assert fleet.ended() == 0
    gone(family, within=0.5)


def test_a_child_that_hangs_at_its_start_is_killed_and_tried_again(up: Starts) -> None:
    fleet = up("a:late")
    until(lambda: "did not get ready within" in fleet.said(), 10, fleet.said)
    until(lambda: len(fleet.diary()) >= 2, 10, fleet.said)


def test_secrets_are_made_once_and_private(up: Starts) -> None:
    first = up("a:serve")
    token = first.ready()["token"]
    key = (first.data / "master.key").read_text()
    first.process.terminate()
    first.ended()
    second = up("a:serve")
    assert second.ready()["token"] == token
    assert (second.data / "master.key").read_text() == key
    for name in ("master.key", "admin.token"):
        assert stat.S_IMODE((second.data / name).stat().st_mode) == 0o600
    assert token not in second.said()
    assert json.loads((second.data / "ready.json").read_text())["supervisor"] == second.process.pid


def test_the_fleet_goes_on_when_nobody_reads_what_it_says(up: Starts) -> None:
    fleet = up("a:serve", unread=True)
    before = fleet.pids()["a"]
    os.kill(before, signal.SIGKILL)
    until(lambda: fleet.pids().get("a", before) != before, 10, lambda: "it does not come back")
    fleet.process.terminate()
    assert fleet.ended() == 0
