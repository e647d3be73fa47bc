"""A real PostgreSQL 16 for tests, from the package `pgserver`: on loopback, on a free port, with a password.

PostgreSQL does not run as root; then it runs as `nobody`, in a folder of its own under the system's temporary
directory, and from a copy of the binaries where `nobody` cannot reach the installed ones.

::

    with PostgresProcess() as server:
        url = server.new_database()             # postgresql://tgfleet:canary@127.0.0.1:40123/t1
        server.freeze(); server.thaw(); server.kill(); server.start()
"""

import contextlib
import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from tests.support.etcd import free_ports

USER = "tgfleet"
_START_LIMIT = 30.0
_SERVANT = "nobody"
_BECOME = """
import os, pwd, sys
who = pwd.getpwnam(sys.argv[1])
os.setgroups([]); os.setgid(who.pw_gid); os.setuid(who.pw_uid)
os.execv(sys.argv[2], sys.argv[2:])
"""
"""PostgreSQL refuses to run as root. Python's own `user=` forks this process, whose gRPC threads then crash
the child; a fresh process that changes its own user is safe."""
_EXECUTABLE_BY_ALL = 0o001
_SETTINGS = {
    "unix_socket_directories": "",
    "listen_addresses": "127.0.0.1",
    "max_connections": "80",
    "shared_buffers": "16MB",
    "fsync": "off",  # tests kill processes, not the machine
    "autovacuum": "off",
}


class PostgresProcess:
    """One server of its own. `password` is its user's; search logs for it."""

    def __init__(self) -> None:
        self.password = f"canary-{secrets.token_hex(8)}"
        self.folder = Path(tempfile.mkdtemp(prefix="tgfleet-pg-"))
        self._binaries = _binaries(self.folder)
        self._as = [sys.executable, "-c", _BECOME, _SERVANT] if os.geteuid() == 0 else []
        [self.port] = free_ports(1)
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = 0
        password_file = self.folder / "password"
        password_file.write_text(self.password)
        if self._as:
            shutil.chown(self.folder, _SERVANT)
            shutil.chown(password_file, _SERVANT)
        arguments = ["-D", str(self.folder / "data"), "-U", USER, "-A", "scram-sha-256", "-N", "-E", "UTF8"]
        arguments += ["--locale=C", f"--pwfile={password_file}"]
        self._run("initdb", *arguments)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def url(self, database: str) -> str:
        """What services are given."""
        return f"postgresql://{USER}:{self.password}@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """The URL of a fresh empty database."""
        self._databases += 1
        name = f"t{self._databases}"
        self.sql(f"CREATE DATABASE {name}")
        return self.url(name)

    def copy_of(self, template: str) -> str:
        """The URL of a copy of a database that nobody is connected to."""
        self._databases += 1
        name = f"t{self._databases}"
        self.sql(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def stored(self, url: str) -> bytes:
        """Every byte that a database has on disk, and the log of what was written."""
        self.sql("CHECKPOINT")
        name = url.rsplit("/", 1)[1]
        number = self.sql(f"SELECT oid FROM pg_database WHERE datname = '{name}'")
        data = self.folder / "data"
        folders = (data / "base" / number, data / "pg_wal")
        return b"".join(
            path.read_bytes() for folder in folders for path in folder.iterdir() if path.is_file()
        )

    def sql(self, statement: str, database: str = "postgres") -> str:
        """Runs a statement with psql; its bare output."""
        address = ["-h", "127.0.0.1", "-p", str(self.port), "-U", USER, "-d", database]
        return self._run("psql", *address, "-v", "ON_ERROR_STOP=1", "-Atc", statement)

    def start(self) -> Self:
        """Starts it and waits until it answers."""
        assert self._process is None
        options = [part for key, value in _SETTINGS.items() for part in ("-c", f"{key}={value}")]
        command = [str(self._binaries / "postgres"), "-D", str(self.folder / "data"), "-p", str(self.port)]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._as, *command, *options],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_LIMIT
        while True:
            try:
                self.sql("SELECT 1")
            except subprocess.CalledProcessError:
                assert self._process.poll() is None, (self.folder / "log").read_text()
                assert time.monotonic() < deadline, (self.folder / "log").read_text()
                time.sleep(0.05)
            else:
                return self

    def stop(self) -> None:
        """Ends it in order, cutting all connections off (`fast`)."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """kill -9 to it and to all processes that serve its connections."""
        assert self._process is not None
        for child in psutil.Process(self._process.pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        self._end(signal.SIGKILL)
        (self.folder / "data" / "postmaster.pid").unlink(missing_ok=True)

    def freeze(self) -> None:
        """SIGSTOP to all its processes: connections stay, nothing answers."""
        for process in self._all():
            process.suspend()

    def thaw(self) -> None:
        """Undoes `freeze`."""
        for process in self._all():
            process.resume()

    def close(self) -> None:
        """Ends it and removes its files."""
        if self._process is not None:
            self.thaw()
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _all(self) -> list[psutil.Process]:
        assert self._process is not None
        main = psutil.Process(self._process.pid)
        return [main, *main.children()]

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        assert process is not None
        process.send_signal(how)
        process.wait(20)

    def _run(self, program: str, *arguments: str) -> str:
        """Runs one of PostgreSQL's programs; what it printed."""
        done = subprocess.run(
            [*(self._as if program == "initdb" else []), str(self._binaries / program), *arguments],
            check=True,
            capture_output=True,
            text=True,
            cwd=self.folder,
            timeout=_START_LIMIT,
            env=os.environ | {"PGPASSWORD": self.password, "PGCONNECT_TIMEOUT": "5"},
        )
        return done.stdout.strip()


def _binaries(folder: Path) -> Path:
    """The folder of PostgreSQL's programs, where the user that runs them can reach it."""
    spec = importlib.util.find_spec("pgserver")
    assert spec is not None, "the package pgserver is not installed; run `make setup`"
    assert spec.submodule_search_locations is not None
    installed = Path(next(iter(spec.submodule_search_locations))).resolve() / "pginstall"
    hidden = any(not parent.stat().st_mode & _EXECUTABLE_BY_ALL for parent in installed.parents)
    if os.geteuid() != 0 or not hidden:
        return installed / "bin"
    shutil.copytree(installed, folder / "pginstall")
    return folder / "pginstall" / "bin"
