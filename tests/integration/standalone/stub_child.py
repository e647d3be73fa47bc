"""A tiny child process for the supervisor's tests: does as its arguments say, with the runtime's plumbing.

`serve` announces itself and runs until it is told to stop; `die` ends at once with code 3 and a word in its
log; `usage` ends with code 2; `deaf` serves and ignores SIGTERM; `slow` needs a second SIGTERM; `late`
never gets ready.
"""

import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from services.runtime.lifeline import announce_ready, watch_lifeline


def main(name: str, behaviour: str, diary: Path) -> int:
    def write(word: str) -> None:
        with diary.open("a") as file:
            file.write(f"{name} {word} {os.getpid()}\n")

    lingers = behaviour == "slow"

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal lingers
        write("lingers" if lingers else "hurries" if behaviour == "slow" else "stops")
        if not lingers:
            sys.exit(0)
        lingers = False

    signal.signal(signal.SIGTERM, signal.SIG_IGN if behaviour == "deaf" else stop)
    watch_lifeline(lambda: os._exit(0))
    write("starts")
    print(f"a word from {name}", file=sys.stderr, flush=True)
    if behaviour == "die":
        return 3
    if behaviour == "usage":
        print(f"{name}: TGFLEET_SOMETHING has a bad value", file=sys.stderr, flush=True)
        return 2
    if behaviour != "late":
        announce_ready({"listen": name})
    while True:
        time.sleep(60)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
