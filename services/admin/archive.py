"""A backup of a one-machine fleet as one file: a tar of SQLite copies and a manifest that says what is in it.

Copies are made with SQLite's backup API, so they are whole while the fleet runs. The master key is in it only
when asked for by name: a stolen backup without it yields no session. Knows the files of a data directory
and nothing of what the tables mean.
"""

import hashlib
import io
import json
import os
import sqlite3
import tarfile
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from services.admin.failures import WrongUsageError

REGISTRY, SCHEDULER, MASTER_KEY = "registry.sqlite", "scheduler.sqlite", "master.key"
MEMBERS = (REGISTRY, SCHEDULER, MASTER_KEY)
DATABASES = (REGISTRY, SCHEDULER)
_MANIFEST, _FORMAT = "manifest.json", 1
_PRIVATE = 0o600
_CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Member:
    """One file in the archive."""

    name: str
    size: int
    sha256: str


def make(folder: Path, target: Path, scratch: Path, master_key: Path | None) -> list[Member]:
    """Writes the backup of a data directory to a new private file. `scratch` is an empty private folder for
    the copies. Raises WrongUsageError."""
    if not (folder / REGISTRY).is_file():
        raise WrongUsageError(
            f"There is no fleet on SQLite in {folder}; name its data directory with --data. A fleet on "
            "PostgreSQL is backed up with PostgreSQL's own tools."
        )
    for name in DATABASES:
        if (folder / name).is_file():
            copy_database(folder / name, scratch / name)
    if master_key is not None:
        _copy_key(master_key, scratch / MASTER_KEY)
    members = [_measure(scratch / name) for name in MEMBERS if (scratch / name).is_file()]
    manifest = {
        "format": _FORMAT,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "members": [asdict(member) for member in members],
    }
    _write_tar(target, json.dumps(manifest, indent=2).encode(), [scratch / member.name for member in members])
    return members


def copy_database(source: Path, target: Path) -> None:
    """A whole copy of a database that may be in use. Raises WrongUsageError."""
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE))
    try:
        with (
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True, timeout=30)) as opened,
            closing(sqlite3.connect(target)) as copy,
        ):
            opened.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")  # one file, without a journal beside it
    except sqlite3.Error as error:
        raise WrongUsageError(f"{source} cannot be copied: {error}.") from error


def unpack(archive: Path, folder: Path) -> list[Member]:
    """Takes the files of a backup out into an empty private folder, after checking each one against the
    manifest, and the databases with SQLite's own check. Raises WrongUsageError."""
    try:
        with tarfile.open(archive, "r:") as tar:
            members = _read_manifest(tar, archive)
            for member in members:
                _take_out(tar, member, folder / member.name, archive)
    except (OSError, tarfile.TarError) as error:
        raise WrongUsageError(f"{archive} cannot be read as a backup: {error}.") from error
    for member in members:
        if member.name in DATABASES:
            _check_database(folder / member.name, archive)
    return members


def _read_manifest(tar: tarfile.TarFile, archive: Path) -> list[Member]:
    bad = WrongUsageError(f"{archive} is no backup of tgfleet, or is cut short.")
    first = tar.next()
    if first is None or first.name != _MANIFEST:
        raise bad
    content = tar.extractfile(first)
    try:
        manifest = json.loads(content.read() if content else b"")
        if manifest["format"] != _FORMAT:
            raise WrongUsageError(f"{archive} was made by another version of tgfleet.")
        members = [Member(**given) for given in manifest["members"]]
    except (ValueError, KeyError, TypeError) as error:
        raise bad from error
    names = [member.name for member in members]
    if REGISTRY not in names or not set(names) <= set(MEMBERS) or len(set(names)) != len(names):
        raise bad
    return members


def _take_out(tar: tarfile.TarFile, member: Member, target: Path, archive: Path) -> None:
    try:
        content = tar.extractfile(member.name)
    except KeyError:
        content = None
    if content is None:
        raise WrongUsageError(f"{archive} is damaged: {member.name} is missing.")
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE)
    with os.fdopen(descriptor, "wb") as file:
        while chunk := content.read(_CHUNK):
            file.write(chunk)
    if _measure(target) != member:
        raise WrongUsageError(f"{archive} is damaged: {member.name} is not what was put in.")


def _check_database(path: Path, archive: Path) -> None:
    try:
        with closing(sqlite3.connect(path)) as opened:
            verdict = opened.execute("PRAGMA integrity_check").fetchone()[0]
    except sqlite3.Error as error:
        verdict = str(error)
    if verdict != "ok":
        raise WrongUsageError(f"{archive} is damaged: SQLite says of {path.name}: {verdict}.")


def _copy_key(source: Path, target: Path) -> None:
    try:
        content = source.read_bytes()
    except OSError as error:
        raise WrongUsageError(f"The master key file {source} cannot be read: {error.strerror}.") from error
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE), "wb") as file:
        file.write(content)


def _measure(path: Path) -> Member:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Member(path.name, path.stat().st_size, digest)


def _write_tar(target: Path, manifest: bytes, files: list[Path]) -> None:
    """Written under another name first: a file of the right name is a whole backup."""
    part = target.with_name(f"{target.name}.part")
    if target.exists():
        raise WrongUsageError(f"{target} exists already; name a new file.")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE)
        try:
            with os.fdopen(descriptor, "wb") as raw:
                with tarfile.open(fileobj=raw, mode="w") as tar:
                    header = tarfile.TarInfo(_MANIFEST)
                    header.size, header.mode = len(manifest), _PRIVATE
                    tar.addfile(header, io.BytesIO(manifest))
                    for file in files:
                        tar.add(file, file.name)
                raw.flush()
                os.fsync(raw.fileno())
            part.rename(target)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise WrongUsageError(f"{target} cannot be written: {error.strerror}.") from error
