"""AES-256-GCM with keys from a file. Knows what it protects only as a purpose and an account id, which it
binds in.

The key file has one key a line, `key_id:base64 of 32 bytes`; empty lines and lines with `#` are skipped. The
first encrypts, all decrypt. The file is watched (`key_file`). A 300 byte session takes under a microsecond
so this runs on the loop.
"""

import base64
import binascii
import os
import re
from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.registry.ports import Sealed, SecretUnreadableError
from services.runtime.errors import SettingsError
from services.runtime.logs import get_logger

_log = get_logger("registry.vault")

KEY_BYTES = 32
_OTHERS = 0o077
_NONCE_BYTES = 12
_TABLE = "account_secrets"
_KEY_ID = re.compile(r"[A-Za-z0-9_.-]{1,32}")


class AesGcmVault:
    """Implements ports.Vault."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        """`keys` by key id, the first one active. At least one."""
        self.use(keys)

    def use(self, keys: Mapping[str, bytes]) -> None:
        """From now on these keys and no others, the first one active. At least one."""
        self._active = next(iter(keys))
        self._ciphers = {key_id: AESGCM(key) for key_id, key in keys.items()}

    def key_ids(self) -> tuple[str, ...]:
        """The keys at hand, the active one first."""
        return tuple(self._ciphers)

    def seal(self, plaintext: bytes, account_id: str, purpose: str) -> Sealed:
        """Encrypts with the active key and a fresh random nonce."""
        nonce = os.urandom(_NONCE_BYTES)
        bound = _associated_data(self._active, account_id, purpose)
        return Sealed(self._active, nonce, self._ciphers[self._active].encrypt(nonce, plaintext, bound))

    def unseal(self, sealed: Sealed, account_id: str, purpose: str) -> bytes:
        """Raises SecretUnreadableError when the key is not at hand or the ciphertext was changed or belongs
        elsewhere."""
        cipher = self._ciphers.get(sealed.key_id)
        if cipher is None:
            raise SecretUnreadableError(f"The master key {sealed.key_id} is not in the master key file.")
        bound = _associated_data(sealed.key_id, account_id, purpose)
        try:
            return cipher.decrypt(sealed.nonce, sealed.ciphertext, bound)
        except (InvalidTag, ValueError) as error:
            raise SecretUnreadableError(
                f"It was not encrypted for this account with the master key {sealed.key_id} at hand."
            ) from error


def _associated_data(key_id: str, account_id: str, purpose: str) -> bytes:
    """Names table, column and row, so that a ciphertext copied to another row does not open there."""
    return f"tgfleet/1\0{_TABLE}\0{purpose}\0{account_id}\0{key_id}".encode()


def load_master_keys(path: Path) -> dict[str, bytes]:
    """The keys of a master key file, the active one first. Raises SettingsError; its sentence holds no
    key."""
    try:
        text = path.read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"TGFLEET_MASTER_KEY_FILE: {path} cannot be read; it holds lines of key_id:base64"
        ) from error
    if path.stat().st_mode & _OTHERS:
        _log.warning("others than its owner may read the master key file", path=str(path))
    keys: dict[str, bytes] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            key_id, key = _parse_line(line.strip(), path, number)
            if key_id in keys:
                raise SettingsError(f"TGFLEET_MASTER_KEY_FILE: {path} has the key {key_id} twice")
            keys[key_id] = key
    if not keys:
        raise SettingsError(f"TGFLEET_MASTER_KEY_FILE: {path} holds no key; it holds lines of key_id:base64")
    return keys


def _parse_line(line: str, path: Path, number: int) -> tuple[str, bytes]:
    key_id, _, encoded = line.partition(":")
    try:
        key = base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not _KEY_ID.fullmatch(key_id) or len(key) != KEY_BYTES:
        raise SettingsError(
            f"TGFLEET_MASTER_KEY_FILE: line {number} of {path} is not key_id:base64 of {KEY_BYTES} bytes"
        )
    return key_id, key
