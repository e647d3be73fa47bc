"""The cache of verdicts: short, bounded, and not to be flooded."""

import os

from services.gateway.domain.credentials import INVALID, Caller
from services.gateway.domain.roles import Role
from services.gateway.domain.token_cache import KNOWN_SECONDS, REFUSED_SECONDS, TokenCache

CALLER = Caller("ci", Role.OPERATOR, None)


def test_verdicts_are_forgotten_in_time() -> None:
    cache = TokenCache()
    cache.put(b"good", CALLER, now=100)
    cache.put(b"bad", INVALID, now=100)
    assert KNOWN_SECONDS <= 5
    assert cache.get(b"good", 100 + KNOWN_SECONDS - 0.1) is CALLER
    assert cache.get(b"good", 100 + KNOWN_SECONDS) is None
    assert cache.get(b"bad", 100 + REFUSED_SECONDS - 0.1) is INVALID
    assert cache.get(b"bad", 100 + REFUSED_SECONDS) is None


def test_a_new_verdict_replaces_the_old_one() -> None:
    cache = TokenCache()
    cache.put(b"key", CALLER, now=0)
    cache.put(b"key", INVALID, now=1)
    assert cache.get(b"key", 1) is INVALID
    cache.put(b"key", CALLER, now=1)
    assert cache.get(b"key", 1) is CALLER
    assert len(cache) == 1


def test_random_tokens_cost_constant_memory_and_push_out_no_known_one() -> None:
    cache = TokenCache(capacity=100)
    cache.put(b"good", CALLER, now=0)
    for _ in range(10_000):
        cache.put(os.urandom(32), INVALID, now=0)
    assert len(cache) == 101
    assert cache.get(b"good", 0) is CALLER
