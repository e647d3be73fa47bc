"""Auth keys: what the data centre keeps for each, and which of them are dead."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha1

from services.testdc.domain.errors import TelegramError
from services.testdc.domain.keyuse import KeyUse

DUPLICATED = TelegramError(406, "AUTH_KEY_DUPLICATED")
"""What every call of a key gets that was used from two places at once."""


@dataclass(slots=True)
class AuthKey:
    """One login, or a key on its way to one."""

    secret: bytes
    """The 256 bytes that client and server share."""
    salt: int
    user_id: int = 0
    """Who is logged in with it; 0: nobody yet."""
    dead: TelegramError | None = None
    """Answer to every call, once the key is no good any more."""
    api_id: int = 0
    """Which application logged in with it; goes into session strings."""
    use: KeyUse = field(default_factory=KeyUse)
    sessions: set[bytes] = field(default_factory=set)
    """Session ids that have been greeted with new_session_created."""

    def reopen(self) -> None:
        """The data centre was restarted: no connection is open any more."""
        self.use = KeyUse()

    @property
    def raw_id(self) -> bytes:
        """The 8 bytes that head every packet of this key."""
        return sha1(self.secret).digest()[-8:]  # noqa: S324 - the protocol says SHA1

    @property
    def key_id(self) -> str:
        """The same as 16 hex digits, by which everybody names a key."""
        return self.raw_id.hex()


@dataclass
class KeyRing:
    """All keys that the data centre knows."""

    _by_raw_id: dict[bytes, AuthKey] = field(default_factory=dict)

    def add(self, key: AuthKey) -> AuthKey:
        """Take in a key; one that is known already stays as it is."""
        return self._by_raw_id.setdefault(key.raw_id, key)

    def find(self, raw_id: bytes) -> AuthKey | None:
        """The key that a packet names."""
        return self._by_raw_id.get(raw_id)

    def named(self, key_id: str) -> AuthKey | None:
        """The key with these 16 hex digits."""
        try:
            return self._by_raw_id.get(bytes.fromhex(key_id))
        except ValueError:
            return None

    def forget(self, key: AuthKey) -> None:
        """Know a key no more: its packets get -404."""
        self._by_raw_id.pop(key.raw_id, None)

    def of_user(self, user_id: int) -> list[AuthKey]:
        """The logins of one account, oldest first."""
        return [key for key in self._by_raw_id.values() if key.user_id == user_id]

    def all(self) -> list[AuthKey]:
        """Every key, oldest first."""
        return list(self._by_raw_id.values())
