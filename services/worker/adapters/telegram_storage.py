"""The library's session storage, in plain dictionaries: nothing of a session ever touches a disk, and no lock
is held.

It lives as long as the grant, so that what was learned of peers and updates survives a link.
"""

from collections.abc import Iterable
from typing import Any

from pyrogram.storage import Storage, UpdateState
from pyrogram.storage.sqlite_storage import get_input_peer

from services.worker.domain.telegram import Credentials

_MOST_PEERS = 20_000
"""Peers kept per account; beyond that the ones seen longest ago go."""


class MemoryStorage(Storage):  # type: ignore[misc]  # the library has no types
    """A login in memory. Every accessor reads without and writes with an argument, as the library expects."""

    def __init__(self, credentials: Credentials, api_id: int) -> None:
        self._values: dict[str, Any] = {
            "dc_id": credentials.dc_id,
            "api_id": api_id,
            "test_mode": credentials.test_mode,
            "auth_key": credentials.auth_key,
            "user_id": credentials.user_id or 0,
            "is_bot": False,
            "date": 0,
            # Addresses come from our Route, at each dial; the library only wants to see some.
            "server_address": "0.0.0.0",  # noqa: S104 - nothing listens
            "port": 0,
        }
        self._peers: dict[int, tuple[int, str, str | None]] = {}
        self._names: dict[str, int] = {}
        self._states: dict[int, UpdateState] = {}

    async def open(self) -> None:
        """Nothing to open."""

    async def save(self) -> None:
        """Nothing to save."""

    async def close(self) -> None:
        """Nothing to close; the next link goes on with the same memory."""

    async def delete(self) -> None:
        """Nothing to delete."""

    async def update_peers(self, peers: Iterable[tuple[int, int, str, str | None]]) -> None:
        """Remembers access hashes."""
        for peer_id, access_hash, kind, phone in peers:
            self._peers.pop(peer_id, None)
            self._peers[peer_id] = (access_hash, kind, phone)
        while len(self._peers) > _MOST_PEERS:
            del self._peers[next(iter(self._peers))]

    async def update_usernames(self, usernames: Iterable[tuple[int, list[str | None]]]) -> None:
        """Remembers names of known peers only, so that they go with them."""
        for peer_id, names in usernames:
            if peer_id in self._peers:
                self._names |= {name: peer_id for name in names if name}
        while len(self._names) > _MOST_PEERS:
            del self._names[next(iter(self._names))]

    async def get_update_states(self, ids: int | Iterable[int] | None = None) -> list[UpdateState]:
        """All, one, or some."""
        wanted = self._states.keys() if ids is None else {ids} if isinstance(ids, int) else set(ids)
        return [state for key, state in self._states.items() if key in wanted]

    async def set_update_state(self, update_state: UpdateState | Iterable[UpdateState]) -> None:
        """Merges: None leaves a field as it was."""
        given = [update_state] if isinstance(update_state, UpdateState) else list(update_state)
        for new in given:
            old = self._states.get(new.id, UpdateState(new.id, None, None, None, None))
            merged = [
                getattr(old, field) if getattr(new, field) is None else getattr(new, field)
                for field in ("pts", "qts", "date", "seq")
            ]
            self._states[new.id] = UpdateState(new.id, *merged)

    async def delete_update_state(self, state_id: int | Iterable[int]) -> None:
        """Forgets."""
        for key in [state_id] if isinstance(state_id, int) else state_id:
            self._states.pop(key, None)

    async def get_peer_by_id(self, peer_id: int) -> Any:
        """Raises KeyError, which the library expects."""
        access_hash, kind, _ = self._peers[peer_id]
        return get_input_peer(peer_id, access_hash, kind)

    async def get_peer_by_username(self, username: str) -> Any:
        """Raises KeyError."""
        return await self.get_peer_by_id(self._names[username])

    async def get_peer_by_phone_number(self, phone_number: str) -> Any:
        """Raises KeyError."""
        for peer_id, (_, _, phone) in self._peers.items():
            if phone == phone_number:
                return await self.get_peer_by_id(peer_id)
        raise KeyError("no peer has this phone number")

    def _access(self, key: str, value: Any) -> Any:
        if value is not object:
            self._values[key] = value
        return self._values[key]

    async def dc_id(self, value: Any = object) -> Any:
        """The data centre that knows the key."""
        return self._access("dc_id", value)

    async def api_id(self, value: Any = object) -> Any:
        """The api id of the login."""
        return self._access("api_id", value)

    async def server_address(self, value: Any = object) -> Any:
        """Unused; see the constructor."""
        return self._access("server_address", value)

    async def port(self, value: Any = object) -> Any:
        """Unused; see the constructor."""
        return self._access("port", value)

    async def test_mode(self, value: Any = object) -> Any:
        """Whether the key is of Telegram's test servers."""
        return self._access("test_mode", value)

    async def auth_key(self, value: Any = object) -> Any:
        """The key."""
        return self._access("auth_key", value)

    async def date(self, value: Any = object) -> Any:
        """Unused."""
        return self._access("date", value)

    async def user_id(self, value: Any = object) -> Any:
        """Telegram's id of the user."""
        return self._access("user_id", value)

    async def is_bot(self, value: Any = object) -> Any:
        """Whether the user is a bot."""
        return self._access("is_bot", value)
