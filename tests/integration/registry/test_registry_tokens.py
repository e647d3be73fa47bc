"""API tokens over a real database."""

from datetime import timedelta
from pathlib import Path

import pytest

from services.registry.domain.tokens import Role, secret_from
from services.registry.handlers.tokens import read_bootstrap_secret
from services.runtime.errors import AlreadyExists, InvalidArgument, NotFound, SettingsError, Unauthenticated
from tests.integration.registry.conftest import Parts


async def test_a_token_works_until_it_is_revoked_through_any_registry(parts: Parts) -> None:
    token, secret = await parts.tokens.create("ops", Role.OPERATOR, None)
    assert secret.startswith("tgf_")
    assert len(secret) == 47
    assert await parts.again().tokens.verify(secret) == token
    for wrong in ("", secret[:-1], secret + "x", secret.swapcase(), "x" * 10_000, "tgf_\x00"):
        with pytest.raises(Unauthenticated) as caught:
            await parts.tokens.verify(wrong)
        assert caught.value.reason == "TOKEN_INVALID"
    await parts.again().tokens.revoke("ops")
    with pytest.raises(Unauthenticated):
        await parts.tokens.verify(secret)
    with pytest.raises(NotFound) as gone:
        await parts.tokens.revoke("ops")
    assert gone.value.reason == "TOKEN_NOT_FOUND"


async def test_a_token_ends_at_its_time(parts: Parts) -> None:
    _, secret = await parts.tokens.create("t", Role.VIEWER, parts.clock.wall() + timedelta(seconds=10))
    parts.clock.advance(9)
    await parts.tokens.verify(secret)
    parts.clock.advance(1)
    with pytest.raises(Unauthenticated) as caught:
        await parts.tokens.verify(secret)
    assert caught.value.reason == "TOKEN_EXPIRED"
    with pytest.raises(InvalidArgument):
        await parts.tokens.create("u", Role.VIEWER, parts.clock.wall())


async def test_names_are_unique_and_listed_in_pages(parts: Parts) -> None:
    for name in "dbca":
        await parts.tokens.create(name, Role.VIEWER, None)
    with pytest.raises(AlreadyExists):
        await parts.tokens.create("a", Role.ADMIN, None)
    first, token = await parts.tokens.page(3, "")
    rest, end = await parts.tokens.page(3, token)
    assert [t.name for t in [*first, *rest]] == ["a", "b", "c", "d"]
    assert end == ""


async def test_the_bootstrap_token_follows_its_file(parts: Parts, tmp_path: Path) -> None:
    path = tmp_path / "token"
    for content in ("tgf_first-secret-of-some-length\n", "tgf_second-secret-of-some-length"):
        path.write_text(content)
        await parts.tokens.keep_bootstrap(read_bootstrap_secret(path))
    token = await parts.tokens.verify("tgf_second-secret-of-some-length")
    assert (token.name, token.role) == ("bootstrap", Role.ADMIN)
    with pytest.raises(Unauthenticated):
        await parts.tokens.verify("tgf_first-secret-of-some-length")


@pytest.mark.parametrize("content", ["", "canary", "canary " * 10, "canary" * 100])
def test_a_bad_bootstrap_file_stops_the_start_without_showing_it(tmp_path: Path, content: str) -> None:
    path = tmp_path / "token"
    path.write_text(content)
    with pytest.raises(SettingsError) as caught:
        read_bootstrap_secret(path)
    assert "canary" not in str(caught.value)


def test_secrets_are_long_and_plain() -> None:
    assert secret_from(bytes(32)) == "tgf_" + "0" * 43
    assert len(secret_from(b"\xff" * 32)) == 47
    assert secret_from(b"\xff" * 32)[4:].isalnum()
