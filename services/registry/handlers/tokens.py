"""API tokens: made once, verified often, kept only as hashes."""

import os
from datetime import datetime, timedelta
from pathlib import Path

from services.registry.domain import tokens, values
from services.registry.domain.tokens import Role, Token
from services.registry.handlers.accounts import decode_page_token, encode_page_token, page_limit
from services.registry.handlers.errors import named
from services.registry.ports import Store
from services.runtime.clock import Clock
from services.runtime.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    SettingsError,
    Unauthenticated,
)

BOOTSTRAP = "bootstrap"
USE_INTERVAL = timedelta(minutes=1)
"""How often a token's last use is written down, at most."""
_MIN_BOOTSTRAP = 16


class Tokens:
    """The use cases on tokens."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._uses: dict[str, datetime] = {}
        self._written: dict[str, datetime] = {}

    async def create(self, name: str, role: Role | None, expire_time: datetime | None) -> tuple[Token, str]:
        """A new token and its secret, which is nowhere else."""
        with named():
            values.check_name(name)
        if role is None:
            raise InvalidArgument("A token needs a role: viewer, operator or admin.", field="role")
        now = self._clock.wall()
        if expire_time is not None and expire_time <= now:
            raise InvalidArgument("expire_time lies in the past.", field="expire_time")
        secret = tokens.secret_from(os.urandom(tokens.SECRET_BYTES))
        token = Token(name, role, now, expire_time)
        async with self._store.write() as tx:
            if not await tx.insert_token(token, tokens.hash_secret(secret)):
                raise AlreadyExists("Another token has this name.", reason="NAME_TAKEN", field="name")
        return token, secret

    async def page(self, page_size: int, page_token: str) -> tuple[list[Token], str]:
        """A page and the next page's token."""
        limit = page_limit(page_size)
        async with self._store.read() as tx:
            found = await tx.tokens(decode_page_token(page_token), limit + 1)
        more = len(found) > limit
        return found[:limit], encode_page_token(found[limit - 1].name) if more else ""

    async def set_role(self, name: str, role: Role | None) -> Token:
        """Changes what the bearer may do. The first token would be an administrator's again at the next
        start, so its role cannot be changed."""
        if role is None:
            raise InvalidArgument("A token needs a role: viewer, operator or admin.", field="role")
        if name == BOOTSTRAP and role is not Role.ADMIN:
            raise FailedPrecondition(
                "The administrator's first token stays an administrator's; give TGFLEET_BOOTSTRAP_TOKEN_FILE "
                "another secret, or leave the setting out and revoke the token.",
                reason="BOOTSTRAP_TOKEN",
                field="name",
            )
        async with self._store.write() as tx:
            token = await tx.set_role(name, role)
        if token is None:
            raise _no_token()
        return token

    async def revoke(self, name: str) -> None:
        """Makes a token useless."""
        async with self._store.write() as tx:
            if not await tx.delete_token(name):
                raise _no_token()

    async def verify(self, secret: str) -> Token:
        """Whose the secret is. Raises Unauthenticated. The lookup goes by the hash of the secret, so that its
        time tells nothing of the secret, and the hashes are compared in constant time once more."""
        if not secret or len(secret) > tokens.MAX_SECRET:
            raise _invalid()
        wanted = tokens.hash_secret(secret)
        async with self._store.read() as tx:
            found = await tx.token_by_hash(wanted)
        if found is None or not tokens.same_hash(found[1], wanted):
            raise _invalid()
        token, now = found[0], self._clock.wall()
        if token.expired(now):
            raise Unauthenticated(
                "The token has expired; ask an administrator for a new one.", reason="TOKEN_EXPIRED"
            )
        self._uses[token.name] = now
        return token

    async def save_uses(self) -> None:
        """Writes down which tokens were used, each at most once a minute; no call waits for it. When it
        fails, the next one writes the same."""
        now = self._clock.wall()
        due = {
            name: used
            for name, used in self._uses.items()
            if name not in self._written or now - self._written[name] >= USE_INTERVAL
        }
        if not due:
            return
        async with self._store.write() as tx:
            await tx.set_last_use(due)
        self._written |= dict.fromkeys(due, now)
        self._uses = {name: used for name, used in self._uses.items() if due.get(name) != used}

    async def keep_bootstrap(self, secret: str) -> None:
        """Makes the administrator's first token the one of this secret."""
        token, wanted = Token(BOOTSTRAP, Role.ADMIN, self._clock.wall(), None), tokens.hash_secret(secret)
        async with self._store.write() as tx:
            found = await tx.token_by_hash(wanted)
            if found is None or (found[0].name, found[0].role, found[0].expire_time) != (
                BOOTSTRAP,
                Role.ADMIN,
                None,
            ):
                await tx.replace_token(token, wanted)


def read_bootstrap_secret(path: Path) -> str:
    """The secret in TGFLEET_BOOTSTRAP_TOKEN_FILE. Raises SettingsError, without the secret."""
    try:
        secret = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"TGFLEET_BOOTSTRAP_TOKEN_FILE: {path} cannot be read") from error
    if not _MIN_BOOTSTRAP <= len(secret) <= tokens.MAX_SECRET or not secret.isprintable() or " " in secret:
        raise SettingsError(
            f"TGFLEET_BOOTSTRAP_TOKEN_FILE: {path} must hold one token of {_MIN_BOOTSTRAP} to "
            f"{tokens.MAX_SECRET} characters"
        )
    return secret


def _no_token() -> NotFound:
    return NotFound("There is no token of this name.", reason="TOKEN_NOT_FOUND", field="name")


def _invalid() -> Unauthenticated:
    return Unauthenticated("The token is not known.", reason="TOKEN_INVALID")
