"""From arguments and environment to a plan: checks them, locks the data directory, makes keys, chooses ports.

After `prepare` nothing runs yet, but everything that could be wrong with what a person typed has been said.
"""

import random
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace

from services.runtime.addresses import HostPort
from services.runtime.errors import FailedPrecondition, SettingsError
from services.standalone.adapters.data_dir import DataDir, DataDirLock
from services.standalone.adapters.etcd_binary import find_etcd
from services.standalone.adapters.free_ports import free_port, is_free
from services.standalone.adapters.secrets_made_once import ensure_master_key, ensure_token
from services.standalone.arguments import Arguments
from services.standalone.demo.setup import write_demo_files
from services.standalone.domain.fleet import LISTENERS, FleetPlan, demo_telegram, worker_names
from services.standalone.domain.home import Home
from services.standalone.domain.mode import Mode, Times, choose_mode, choose_times
from services.standalone.environment import common_environment, telegram_environment
from services.standalone.settings import Settings, Userbot, load_settings, load_userbot

DEMO_APP = {
    "TGFLEET_TELEGRAM_API_ID": "12345",
    "TGFLEET_TELEGRAM_API_HASH": "0123456789abcdef0123456789abcdef",
    "TGFLEET_CONNECT_TIMEOUT": "6s",
}
"""Any app id will do for the test data centre; a silent data centre is given up after 6 s instead of 30."""
DEMO_CONNECT_NOTE = "A data centre that keeps silent is given up after 6 s instead of 30 s."
DEFAULT_GATEWAY = HostPort("127.0.0.1", 7443)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A fleet that is ready to be started."""

    arguments: Arguments
    mode: Mode
    data: DataDir
    lock: DataDirLock
    plan: FleetPlan
    environ: Mapping[str, str]
    token: str
    userbot: Userbot | None
    notes: tuple[str, ...]
    rng: random.Random


def prepare(arguments: Arguments, environ: Mapping[str, str], rng: random.Random) -> Prepared:
    """Raises SettingsError, DataDirBusy, FailedPrecondition (a port is taken, no etcd) or OSError."""
    settings = load_settings(environ)
    userbot = load_userbot(environ)
    live = arguments.live or settings.telegram_live
    mode, times = _choose(arguments, settings, userbot, live=live)
    common = common_environment(environ)
    data = DataDir(arguments.data)
    lock = DataDirLock(data)
    try:
        gateway, moved = _gateway_address(arguments.gateway_listen or settings.gateway_listen, rng)
        home = _make_home(data, mode, arguments.workers)
        plan = _plan(arguments, settings, mode, times, home)
        ports = _ports(arguments.workers, gateway, rng)
        plan = replace(plan, gateway_listen=str(gateway), ports=ports, lock_fd=lock.fd)
        plan = replace(plan, telegram=_telegram(plan, environ, mode, userbot, live=live))
        token = ensure_token(home.token)
        if not plan.master_key:
            ensure_master_key(home.master_key)
    except BaseException:
        lock.close()
        raise
    return Prepared(
        arguments=arguments,
        mode=mode,
        data=data,
        lock=lock,
        plan=plan,
        environ=common,
        token=token,
        userbot=userbot if mode is Mode.USERBOT else None,
        notes=(*moved, *_notes(mode, settings, plan, live=live)),
        rng=rng,
    )


def _choose(
    arguments: Arguments, settings: Settings, userbot: Userbot | None, *, live: bool
) -> tuple[Mode, Times]:
    try:
        mode = choose_mode(
            demo=arguments.demo,
            live=live,
            userbot=userbot is not None,
            dc=settings.telegram_dc is not None,
            has_api=settings.telegram_api_id is not None and settings.telegram_api_hash is not None,
        )
        ttl = arguments.lease_ttl or settings.lease_ttl
        settle = settings.lease_settle if arguments.lease_settle is None else arguments.lease_settle
        return mode, choose_times(mode, live=live, ttl=ttl, settle=settle)
    except ValueError as error:
        raise SettingsError(str(error), reason="BAD_SETTING") from None


def _gateway_address(told: HostPort | None, rng: random.Random) -> tuple[HostPort, tuple[str, ...]]:
    """Where the gateway will listen, and what to say about it."""
    wanted = told or DEFAULT_GATEWAY
    try:
        if told is not None and told.port == 0:
            return HostPort(told.host, free_port(told.host, set(), rng)), ()
        if is_free(wanted):
            return wanted, ()
    except OSError as error:
        raise SettingsError(f"the gateway cannot listen on {wanted}: {error.strerror}") from error
    if told is not None:
        raise FailedPrecondition(
            f"the gateway cannot listen on {wanted}: the port is taken; name another with --gateway-listen",
            reason="PORT_TAKEN",
        )
    other = HostPort(wanted.host, free_port(wanted.host, set(), rng))
    return other, (f"Port {wanted.port} is taken; the gateway listens on {other} this time.",)


def _make_home(data: DataDir, mode: Mode, workers: int) -> Home:
    home = Home.of(data.root, mode)
    for name in worker_names(workers):
        home.sessions(name).mkdir(mode=0o700, parents=True, exist_ok=True)
    if mode is Mode.DEMO:
        home.testdc.mkdir(mode=0o700, exist_ok=True)
        write_demo_files(home)
    return home


def _plan(arguments: Arguments, settings: Settings, mode: Mode, times: Times, home: Home) -> FleetPlan:
    """All that depends on nothing outside; the addresses are filled in later."""
    demo = mode is Mode.DEMO
    own = settings if mode is Mode.POOL else Settings()  # the others' state must not mix with the pool's
    return FleetPlan(
        python=(sys.executable, "-P", "-m"),
        home=home,
        times=times,
        workers=arguments.workers,
        etcd_binary="" if own.etcd_endpoints else str(find_etcd()),
        etcd_endpoints=str(own.etcd_endpoints or ""),
        database_urls={
            "registry": own.registry_database_url or "",
            "scheduler": own.scheduler_database_url or "",
        },
        master_key="" if demo else str(settings.master_key_file or ""),
        testdc=demo,
        rest_crashed_workers=demo,
    )


def _ports(workers: int, gateway: HostPort, rng: random.Random) -> dict[str, int]:
    taken = {gateway.port}
    return {name: free_port("127.0.0.1", taken, rng) for name in (*LISTENERS, *worker_names(workers))}


def _telegram(
    plan: FleetPlan, environ: Mapping[str, str], mode: Mode, userbot: Userbot | None, *, live: bool
) -> dict[str, str]:
    """What only the workers learn: which Telegram, as which app."""
    if mode is Mode.DEMO:
        return {**demo_telegram(plan), **DEMO_APP}
    kept = telegram_environment(environ, live=live)
    if mode is Mode.USERBOT and userbot is not None:
        kept["TGFLEET_TELEGRAM_API_ID"] = str(userbot.api_id)
        kept["TGFLEET_TELEGRAM_API_HASH"] = userbot.api_hash.reveal()
    return kept


def _notes(mode: Mode, settings: Settings, plan: FleetPlan, *, live: bool) -> list[str]:
    notes = []
    if mode is Mode.USERBOT:
        notes.append(
            "USERBOT_API_ID, USERBOT_API_HASH and USERBOT_SESSION are set: this one account is served, "
            f"with a database of its own in {plan.home.root}; the pool of accounts is left alone."
        )
    if mode is Mode.DEMO:
        notes.append(f"Demo: sample accounts in a test data centre of its own (testdc). {DEMO_CONNECT_NOTE}")
        notes.append(
            "`stranger` is a program outside of the fleet that uses the session of one sample account."
        )
    elif live:
        notes.append("Live: accounts that are started connect to Telegram itself.")
    elif settings.telegram_dc is None:
        notes.append(
            "No data centre is named, so no account can be started: use --live for Telegram itself, --demo "
            "for sample accounts, or set TGFLEET_TELEGRAM_DC."
        )
    return notes
