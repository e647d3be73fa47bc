"""The one error that the data centre tells its clients about."""

from __future__ import annotations


class TelegramError(Exception):
    """An `rpc_error`: Telegram's numeric code and its upper-case name, such as 400 PEER_ID_INVALID."""

    def __init__(self, code: int, name: str) -> None:
        super().__init__(f"{code} {name}")
        self.code = code
        self.name = name

    def __reduce__(self) -> tuple[type[TelegramError], tuple[int, str]]:
        """Exceptions are pickled with their message alone unless told otherwise."""
        return type(self), (self.code, self.name)


def flood_wait(seconds: int) -> TelegramError:
    """420 FLOOD_WAIT_X: this account may not call this method for so many seconds."""
    return TelegramError(420, f"FLOOD_WAIT_{seconds}")


def slow_mode_wait(seconds: int) -> TelegramError:
    """420 SLOWMODE_WAIT_X: this account may not write in this chat for so many seconds."""
    return TelegramError(420, f"SLOWMODE_WAIT_{seconds}")
