"""Says whether a history was right. Shares no code with what it judges, and sees it from outside: each
byte that left through a gate, each order that a worker carried out, each commit, each word that a
scheduler believed.
"""

from __future__ import annotations

from dataclasses import dataclass

Token = tuple[int, int]

_DRIFT = 0.05
"""Of S: what the clocks of etcd and of a worker may differ."""


@dataclass
class _Use:
    process: str
    token: Token
    time: float
    clean: bool = False


class Judge:
    """Collects what was wrong, as sentences."""

    def __init__(self, settle: float) -> None:
        """`settle`: S, seconds."""
        self.faults: list[str] = []
        self.uses = 0
        self._settle = settle * (1 - _DRIFT)
        self._last: dict[str, _Use] = {}
        self._terms: dict[str, int] = {}
        self._committed = 0
        self._believed: dict[tuple[int, str], Token] = {}

    def used(self, now: float, process: str, key: str, token: Token) -> None:
        """A byte left the process."""
        self.uses += 1
        last = self._last.get(key)
        if last is not None and (last.process, last.token) == (process, token):
            if last.clean:
                self._wrong(now, f"{process} used {key} after it had released it cleanly")
            last.time = now
            return
        if last is not None:
            if token <= last.token:
                self._wrong(
                    now, f"{process} used {key} under {token}, after {last.process} under {last.token}"
                )
            if not last.clean and now < last.time + self._settle:
                gap = now - last.time
                self._wrong(
                    now, f"{process} used {key} {gap:.3f} s after {last.process}, which had not let go"
                )
        self._last[key] = _Use(process, token, now)

    def released(self, now: float, process: str, key: str, token: Token) -> None:
        """The process closed its link in good order and will not use the key again."""
        last = self._last.get(key)
        if last is not None and (last.process, last.token) == (process, token):
            last.clean = True

    def ordered(self, now: float, process: str, term: int, *, obeyed: bool) -> None:
        """An order of a leader reached a worker process."""
        highest = self._terms.get(process, 0)
        if obeyed and term < highest:
            self._wrong(now, f"{process} obeyed term {term} after it had heard of term {highest}")
        self._terms[process] = max(highest, term)

    def committed(self, now: float, term: int) -> None:
        """The scheduler's database took a commit of that term; a new term begins with one."""
        if term < self._committed:
            self._wrong(now, f"a commit of term {term} after the one of term {self._committed}")
        self._committed = max(self._committed, term)

    def believes(self, now: float, term: int, account: str, token: Token) -> None:
        """What the leader of a term holds for the newest grant of an account, after it was told something."""
        known = self._believed.get((term, account), token)
        if token < known:
            self._wrong(now, f"the leader of term {term} went back from {known} to {token} for {account}")
        self._believed[term, account] = max(known, token)

    def failed(self, now: float, process: str, error: BaseException) -> None:
        """A process died of a mistake of its own."""
        self._wrong(now, f"{process} failed: {error!r}")

    def in_use(self, key: str, since: float) -> bool:
        """Whether a byte left for that key since then."""
        last = self._last.get(key)
        return last is not None and last.time >= since

    def never_ran(self, now: float, accounts: list[str]) -> None:
        """All is well again since long, but these are not as they should be."""
        self._wrong(now, f"not as wanted although everything was mended: {', '.join(accounts)}")

    def _wrong(self, now: float, sentence: str) -> None:
        self.faults.append(f"{now:.3f} s: {sentence}")
