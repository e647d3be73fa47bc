"""AES-256-GCM of a session of 300 bytes: the bare cipher, and the registry's vault with its key id, nonce and
associated data.

`python -m benchmarks.encryption [--rounds 60]`. One core, no I/O: the question is whether this could be a
bottleneck (a StartAll of 10,000 accounts opens each session once).
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import time
from collections.abc import Callable

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from benchmarks.measure import Machine, Run, in_turn
from services.registry.adapters.vault import AesGcmVault

TIMES, SIZE = 2_000, 300
"""Of a round; bytes."""
_SUBJECT, _PURPOSE = "acc_abcdefghijkl", "session"


async def _main(rounds: int) -> None:
    machine = Machine()
    key, text, about = secrets.token_bytes(32), secrets.token_bytes(SIZE), b"acc_abcdefghijkl session"
    cipher, vault = AESGCM(key), AesGcmVault({"k1": key})
    nonce = secrets.token_bytes(12)
    closed, sealed = cipher.encrypt(nonce, text, about), vault.seal(text, _SUBJECT, _PURPOSE)

    def timed(once: Callable[[], object]) -> Run:
        async def run() -> float:
            began = time.perf_counter()
            for _ in range(TIMES):
                once()
            return time.perf_counter() - began

        return run

    pairs = {
        "seal": (
            lambda: cipher.encrypt(secrets.token_bytes(12), text, about),
            lambda: vault.seal(text, _SUBJECT, _PURPOSE),
        ),
        "open": (
            lambda: cipher.decrypt(nonce, closed, about),
            lambda: vault.unseal(sealed, _SUBJECT, _PURPOSE),
        ),
    }
    for what, (bare, ours) in pairs.items():
        found = await in_turn(timed(bare), timed(ours), TIMES, rounds)
        print(
            f"{what} {SIZE} bytes: bare {1e6 / found.bare:.1f} us, ours {1e6 / found.ours:.1f} us, "
            f"ratio {found.ratio:.2f}; all 10,000 sessions of a fleet: {10_000 / found.ours * 1000:.0f} ms"
        )
    print(machine.line())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=60)
    asyncio.run(_main(parser.parse_args().rounds))
