"""What is started, with which settings, in which order: pure decisions."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from services.runtime.errors import SettingsError
from services.runtime.setting_names import ALL_NAMES
from services.standalone.arguments import default_data_dir, parse_arguments
from services.standalone.domain.children import ChildSpec, check_specs, stop_stages
from services.standalone.domain.fleet import LISTENERS, FleetPlan, demo_telegram, fleet_specs, worker_names
from services.standalone.domain.home import Home
from services.standalone.domain.mode import NORMAL, QUICK, Mode, choose_mode, choose_times
from services.standalone.domain.restarts import STEADY_AFTER, Deaths
from services.standalone.environment import common_environment, telegram_environment
from services.standalone.settings import load_userbot

SECONDS = timedelta(seconds=1)


def plan(**changes: object) -> FleetPlan:
    ports = {name: 20_000 + number for number, name in enumerate((*LISTENERS, *worker_names(3)))}
    base = FleetPlan(
        python=("python", "-m"),
        home=Home(Path("/d")),
        times=NORMAL,
        workers=3,
        ports=ports,
        gateway_listen="127.0.0.1:7443",
        etcd_binary="/bin/etcd",
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def test_a_fleet_has_one_process_per_service_and_worker() -> None:
    names = [spec.name for spec in fleet_specs(plan())]
    assert names == ["etcd", "registry", "scheduler", "worker-1", "worker-2", "worker-3", "gateway"]


def test_each_child_starts_after_what_it_needs_and_the_workers_stop_before_what_they_need() -> None:
    specs = fleet_specs(plan(testdc=True))
    check_specs(specs)  # needs are met by those before
    stages = stop_stages(specs)
    order = {name: number for number, stage in enumerate(stages) for name in stage}
    assert order["gateway"] < order["scheduler"] < order["worker-1"] == order["worker-3"] < order["registry"]
    assert order["registry"] < order["etcd"] == order["testdc"]


def test_every_setting_that_a_child_gets_is_known() -> None:
    specs = fleet_specs(plan(testdc=True))
    used = {name for spec in specs for name in spec.env} | set(demo_telegram(plan()))
    assert used <= ALL_NAMES, "a child would refuse to start"


def test_an_etcd_and_databases_of_ones_own_are_used() -> None:
    urls = {"registry": "postgresql+asyncpg://db/r"}
    specs = {
        s.name: s for s in fleet_specs(plan(etcd_binary="", etcd_endpoints="e:2379", database_urls=urls))
    }
    assert "etcd" not in specs
    assert specs["registry"].needs == ()
    assert specs["registry"].env["TGFLEET_ETCD_ENDPOINTS"] == "e:2379"
    assert specs["registry"].env["TGFLEET_REGISTRY_DATABASE_URL"] == urls["registry"]
    assert (
        specs["scheduler"].env["TGFLEET_SCHEDULER_DATABASE_URL"] == "sqlite+aiosqlite:////d/scheduler.sqlite"
    )


def test_only_the_demo_lets_a_crashed_worker_rest_until_its_accounts_have_moved() -> None:
    usual = {spec.name: spec.restart_rest for spec in fleet_specs(plan())}
    demo = {s.name: s.restart_rest for s in fleet_specs(plan(times=QUICK, rest_crashed_workers=True))}
    assert set(usual.values()) == {0.0}
    assert demo["worker-1"] > 3.0
    assert demo["registry"] == 0.0


@pytest.mark.parametrize(
    "specs",
    [
        [ChildSpec(name="a", argv=()), ChildSpec(name="a", argv=())],
        [ChildSpec(name="a", argv=(), needs=("b",)), ChildSpec(name="b", argv=())],
    ],
)
def test_children_that_do_not_fit_together_are_refused(specs: list[ChildSpec]) -> None:
    with pytest.raises(ValueError, match="child a"):
        check_specs(specs)


@pytest.mark.parametrize(
    ("wish", "word"),
    [
        ({"demo": True, "live": True}, "exclude"),
        ({"live": True}, "my.telegram.org"),
        ({"live": True, "has_api": True, "dc": True}, "TGFLEET_TELEGRAM_DC"),
    ],
)
def test_wishes_that_cannot_be_are_one_sentence(wish: dict[str, bool], word: str) -> None:
    asked = {"demo": False, "live": False, "userbot": False, "dc": False, "has_api": False, **wish}
    with pytest.raises(ValueError, match=word) as caught:
        choose_mode(**asked)
    assert "\n" not in str(caught.value)


def test_the_demo_goes_before_the_single_account_and_that_before_the_pool() -> None:
    assert choose_mode(demo=True, live=False, userbot=True, dc=False, has_api=False) is Mode.DEMO
    assert choose_mode(demo=False, live=True, userbot=True, dc=False, has_api=False) is Mode.USERBOT
    assert choose_mode(demo=False, live=True, userbot=False, dc=False, has_api=True) is Mode.POOL
    assert {Home.of(Path("/d"), mode).root for mode in Mode} == {
        Path("/d"),
        Path("/d/demo"),
        Path("/d/userbot"),
    }


def test_times_are_the_modes_unless_told_and_long_enough_for_telegram() -> None:
    assert choose_times(Mode.DEMO, live=False, ttl=None, settle=None) == QUICK
    assert choose_times(Mode.POOL, live=True, ttl=None, settle=None) == NORMAL
    assert choose_times(Mode.POOL, live=False, ttl=5 * SECONDS, settle=0 * SECONDS).ttl == 5 * SECONDS
    with pytest.raises(ValueError, match="at least 30s"):
        choose_times(Mode.POOL, live=True, ttl=None, settle=29 * SECONDS)


def test_deaths_are_a_pattern_at_every_third_and_forgotten_after_a_steady_life() -> None:
    deaths, repeated = Deaths(), []
    for _ in range(6):
        deaths = deaths.after(0.1)
        repeated.append(deaths.repeated)
    assert repeated == [False, False, True, False, False, True]
    assert deaths.after(STEADY_AFTER) == Deaths(1)


def test_children_get_what_the_operator_set_but_no_secret_that_is_not_theirs() -> None:
    environ = {
        "PATH": "/bin",
        "TGFLEET_LOG_LEVEL": "debug",
        "TGFLEET_TELEGRAM_API_HASH": "h",
        "TGFLEET_TOKEN": "t",
        "TGFLEET_READY_FD": "9",
        "TGFLEET_GATEWAY_LISTEN": "x:1",
        "USERBOT_SESSION": "s",
    }
    common = common_environment(environ)
    assert common["PATH"] == "/bin"
    assert common["TGFLEET_LOG_LEVEL"] == "debug"
    assert common["TGFLEET_LOG_FORMAT"] == "json"
    assert not set(common) & (set(environ) - {"PATH", "TGFLEET_LOG_LEVEL"})
    assert telegram_environment(environ, live=False) == {
        "TGFLEET_TELEGRAM_API_HASH": "h",
        "TGFLEET_TELEGRAM_LIVE": "0",
    }


@pytest.mark.parametrize(("value", "fine"), [("off", True), ("127.0.0.1:0", True), ("127.0.0.1:9100", False)])
def test_a_fixed_metrics_port_would_be_fought_for(value: str, fine: bool) -> None:
    if fine:
        assert common_environment({"TGFLEET_METRICS_LISTEN": value})["TGFLEET_METRICS_LISTEN"] == value
    else:
        with pytest.raises(SettingsError, match="TGFLEET_METRICS_LISTEN"):
            common_environment({"TGFLEET_METRICS_LISTEN": value})


def test_the_single_account_needs_all_three_names() -> None:
    full = {"USERBOT_API_ID": "7", "USERBOT_API_HASH": "h", "USERBOT_SESSION": "s"}
    found = load_userbot(full)
    assert found is not None
    assert (found.api_id, found.session.reveal()) == (7, "s")
    assert "s" not in repr(found).replace("session", "").replace("hash", "").replace("Userbot", "").replace(
        "Secret", ""
    )
    for name in full:
        assert load_userbot({**full, name: " "}) is None
    with pytest.raises(SettingsError, match="USERBOT_API_ID"):
        load_userbot({**full, "USERBOT_API_ID": "seven"})


@pytest.mark.parametrize(
    "argv",
    [
        ["--workers", "0"],
        ["--workers", "65"],
        ["--workers", "x"],
        ["--gateway-listen", "7443"],
        ["--lease-ttl", "2"],
        ["x"],
    ],
)
def test_wrong_arguments_are_wrong_usage(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse_arguments(argv, {})
    assert caught.value.code == 2
    assert argv[0].lstrip("-") in capsys.readouterr().err


def test_the_data_directory_follows_the_environment() -> None:
    assert default_data_dir({"TGFLEET_DATA": "/a"}) == Path("/a")
    assert default_data_dir({"XDG_DATA_HOME": "/b"}) == Path("/b/tgfleet")
    assert default_data_dir({"XDG_DATA_HOME": "relative"}) == Path.home() / ".local/share/tgfleet"
    assert parse_arguments(["--data", "x"], {}).data == Path.cwd() / "x"
