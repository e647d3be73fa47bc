"""Watches the master key file, so that a key is added or taken out without a restart.

A file that cannot be used (half written, empty, away) changes nothing: the keys that were read last stay,
and the log says why.
"""

import asyncio
from pathlib import Path

from services.registry.adapters.vault import AesGcmVault, load_master_keys
from services.runtime.errors import SettingsError
from services.runtime.logs import get_logger

_log = get_logger("registry.keys")

WATCH_SECONDS = 1.0
"""How often the file is looked at; a change of it counts a second later."""

_Look = tuple[int, int, int]


async def watch_key_file(path: Path, vault: AesGcmVault, seconds: float = WATCH_SECONDS) -> None:
    """Gives the vault the file's keys whenever they changed. Runs until cancelled."""
    seen: _Look | None = None
    while True:
        look = await asyncio.to_thread(_look, path)
        if look != seen:
            seen = look
            await _reload(path, vault)
        await asyncio.sleep(seconds)


async def _reload(path: Path, vault: AesGcmVault) -> None:
    try:
        keys = await asyncio.to_thread(load_master_keys, path)
    except SettingsError as error:
        _log.error("the master key file cannot be used; the keys read before stay", detail=error.message)
        return
    before = vault.key_ids()
    vault.use(keys)
    if vault.key_ids() != before:
        _log.info("master keys read again", active=vault.key_ids()[0], keys=",".join(vault.key_ids()))


def _look(path: Path) -> _Look | None:
    """What changes with the file, also when a symbolic link is turned to another one; None for no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
