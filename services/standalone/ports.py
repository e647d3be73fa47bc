"""What the supervisor needs from outside: something that launches children, and somebody who is told what
happens."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from services.standalone.domain.children import ChildSpec


class Child(Protocol):
    """A running process."""

    pid: int

    async def ready(self, limit: float) -> Mapping[str, Any] | None:
        """What it announced; None when it died before, or `limit` seconds passed."""
        ...

    async def wait(self) -> int:
        """Waits for its end. The exit code, or minus the signal's number."""
        ...

    def terminate(self) -> None:
        """Asks it to stop; harmless when it is dead."""
        ...

    def kill(self) -> None:
        """Ends it and what it started; harmless when it is dead."""
        ...


class Launcher(Protocol):
    """Starts processes."""

    async def launch(self, spec: ChildSpec) -> Child:
        """Starts one. Raises OSError when the system will not."""
        ...

    def last_lines(self, name: str) -> Sequence[str]:
        """The end of what a child has logged since it was started last, for a person."""
        ...


class Observer(Protocol):
    """Is told what happens to the children. Must not block and must not fail."""

    def launched(self, name: str, pid: int) -> None:
        """A process was started."""
        ...

    def ready(self, name: str, info: Mapping[str, Any]) -> None:
        """It serves; `info` is what it announced."""
        ...

    def died(self, name: str, how: str, delay: float, last_lines: Sequence[str]) -> None:
        """It died by itself and is started again in `delay` seconds. `last_lines` only when that happens
        repeatedly."""
        ...

    def stopping(self, name: str) -> None:
        """It was asked to stop."""
        ...

    def stopped(self, name: str, *, killed: bool) -> None:
        """It is gone; `killed` when it did not stop in time."""
        ...
