"""The arguments of `tgfleet up` and `python -m services.standalone`, which are the same."""

import os
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from services.runtime.addresses import HostPort
from services.runtime.settings import parse_duration

MAX_WORKERS = 64


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What was asked for on the command line; None where the environment or a default decides."""

    workers: int
    data: Path
    demo: bool
    live: bool
    no_hints: bool
    ready_file: Path | None
    gateway_listen: HostPort | None
    lease_ttl: timedelta | None
    lease_settle: timedelta | None


def parse_arguments(argv: Sequence[str], environ: Mapping[str, str] = os.environ) -> Arguments:
    """Exits with code 2 and a usage line, as argparse does, when they are wrong."""
    parsed = _parser(default_data_dir(environ)).parse_args(argv)
    return Arguments(**vars(parsed))


def default_data_dir(environ: Mapping[str, str]) -> Path:
    """TGFLEET_DATA, else XDG's place for data: $XDG_DATA_HOME/tgfleet, by default ~/.local/share/tgfleet."""
    if told := environ.get("TGFLEET_DATA", "").strip():
        return _path(told)
    base = environ.get("XDG_DATA_HOME", "")
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".local" / "share") / "tgfleet"


def _parser(data: Path) -> ArgumentParser:
    parser = ArgumentParser(
        prog="tgfleet up",
        description="Runs a whole fleet on this machine, a process per service and worker. Ctrl-C stops it.",
    )
    add = parser.add_argument
    add("--workers", type=_workers, default=2, metavar="N", help="worker processes (default 2)")
    add("--data", type=_path, default=data, metavar="DIR", help=f"where everything is kept (default {data})")
    add(
        "--demo",
        action="store_true",
        help="sample accounts in a test data centre here, apart from your own",
    )
    add(
        "--live",
        action="store_true",
        help="talk to Telegram itself (needs TGFLEET_TELEGRAM_API_ID and _API_HASH)",
    )
    add("--no-hints", action="store_true", help="do not print commands to paste")
    add("--ready-file", type=_path, metavar="FILE", help="JSON that is written when all is serving")
    add(
        "--gateway-listen",
        type=_checked(HostPort.parse),
        metavar="HOST:PORT",
        help="where the gateway listens (default 127.0.0.1:7443, or a free port if that is taken)",
    )
    duration = _checked(parse_duration)
    add(
        "--lease-ttl",
        type=duration,
        metavar="T",
        help="T, how long a worker holds a session without renewing (30s)",
    )
    add(
        "--lease-settle",
        type=duration,
        metavar="S",
        help="S, how long nobody uses a session after that (30s)",
    )
    return parser


def _workers(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= MAX_WORKERS):
        raise ArgumentTypeError(f"it must be a number from 1 to {MAX_WORKERS}")
    return int(text)


def _path(text: str) -> Path:
    if not text.strip():
        raise ArgumentTypeError("it must name a path")
    return Path(text).expanduser().absolute()


def _checked(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    def convert(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise ArgumentTypeError(str(error)) from error

    return convert
