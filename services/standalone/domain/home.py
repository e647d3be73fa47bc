"""Where one kind of fleet keeps its state. Pure: names paths, makes none."""

from dataclasses import dataclass
from pathlib import Path

from services.standalone.domain.mode import Mode


@dataclass(frozen=True, slots=True)
class Home:
    """The state of one fleet below a data directory."""

    root: Path

    @classmethod
    def of(cls, data: Path, mode: Mode) -> "Home":
        """The pool's is the directory itself; the others live beside it and touch nothing of it."""
        return cls(data if mode is Mode.POOL else data / mode.value)

    @property
    def master_key(self) -> Path:
        """What encrypts sessions. Without it they are lost."""
        return self.root / "master.key"

    @property
    def token(self) -> Path:
        """The administrator's first token."""
        return self.root / "admin.token"

    @property
    def etcd(self) -> Path:
        """etcd's data; may be lost without harm beyond a wait of T + S."""
        return self.root / "etcd"

    @property
    def testdc(self) -> Path:
        """What the test data centre writes."""
        return self.root / "testdc"

    @property
    def chat_rules(self) -> Path:
        """What accounts answer in the demo."""
        return self.root / "chat-rules.yaml"

    def database(self, service: str) -> Path:
        """A service's SQLite file."""
        return self.root / f"{service}.sqlite"

    def sessions(self, worker_id: str) -> Path:
        """A worker's session files."""
        return self.root / "workers" / worker_id
