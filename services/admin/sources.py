"""Reads what is to be imported: texts of session strings, `.session` files, folders of them, stdin.

Session strings never come as arguments, where every process of the machine could read them. Errors name the
file and the line and never the content."""

import getpass
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from services.admin.failures import WrongUsageError
from tgfleet.gateway.v1 import account_pb2

MAX_FILE_BYTES = 12 * 1024 * 1024
STDIN = "-"
_LOOKS_SECRET = re.compile(r"[A-Za-z0-9_+/=-]{100,}")


def read_sources(paths: list[str], name: str, stdin: TextIO) -> Iterator[account_pb2.ImportItem]:
    """An item for each session found. `name` names a single one. Raises WrongUsageError with a sentence."""
    for path in paths:
        if path == STDIN:
            yield from _from_stdin(name, stdin)
        else:
            yield from _from_path(path, name)


def read_proxy(stdin: TextIO) -> str:
    """A proxy URL, not echoed when a person types it."""
    if stdin.isatty():
        return getpass.getpass("Proxy URL (not shown): ").strip()
    return stdin.readline().strip()


def _from_path(text: str, name: str) -> Iterator[account_pb2.ImportItem]:
    if _LOOKS_SECRET.fullmatch(text):
        raise WrongUsageError(
            "That looks like a session string. Never give one as an argument, where other programs can "
            "read it: put it in a file or pipe it in, with - as the path."
        )
    path = Path(text).expanduser()
    try:
        if path.is_dir():
            yield from _from_folder(path)
        elif path.suffix == ".session":
            yield account_pb2.ImportItem(name=name or path.stem, session_file=_bytes(path))
        else:
            yield from read_strings(_bytes(path).decode(), str(path), name)
    except OSError as error:
        raise WrongUsageError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise WrongUsageError(f"{path} is neither a text of session strings nor named *.session.") from error


def _from_folder(folder: Path) -> Iterator[account_pb2.ImportItem]:
    files = sorted(folder.glob("*.session"))
    if not files:
        raise WrongUsageError(f"There is no *.session file in {folder}.")
    for file in files:
        yield account_pb2.ImportItem(name=file.stem, session_file=_bytes(file))


def _bytes(path: Path) -> bytes:
    if path.stat().st_size > MAX_FILE_BYTES:
        raise WrongUsageError(f"{path} is larger than {MAX_FILE_BYTES // 2**20} MiB; it is no session.")
    return path.read_bytes()


def _from_stdin(name: str, stdin: TextIO) -> Iterator[account_pb2.ImportItem]:
    if stdin.isatty():
        if not name:
            raise WrongUsageError("Say --name NAME to type one session string in.")
        secret = getpass.getpass("Session string (not shown): ").strip()
        yield account_pb2.ImportItem(name=name, session_string=secret)
        return
    try:
        text = stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise WrongUsageError("What came in on stdin is no text.") from error
    yield from read_strings(text, "stdin", name)


def read_strings(text: str, where: str, name: str = "") -> Iterator[account_pb2.ImportItem]:
    """One session string to a line, `NAME STRING` or, with `name`, a single `STRING`. Empty lines and those
    that begin with # are left out."""
    lines = [
        (number, line.strip())
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if name and len(lines) > 1:
        raise WrongUsageError(f"{where} holds several session strings; --name is for one.")
    for number, line in lines:
        words = line.split()
        if len(words) == 1 and not name:
            raise WrongUsageError(
                f"{where}, line {number}: write the account's name, a space and its session string, "
                "or use --name."
            )
        # The string is the last word; a name may have spaces. One with --name stands alone.
        given = name or " ".join(words[:-1]).removesuffix("=").removesuffix(":").strip()
        yield account_pb2.ImportItem(name=given, session_string=words[-1])
