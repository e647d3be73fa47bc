"""A session as it lies in the vault: packed, sealed, unsealed. Knows the packing, not the cipher."""

import struct

from services.registry.domain.session import AUTH_KEY_BYTES, Session
from services.registry.ports import Sealed, SecretUnreadableError, Vault

SESSION = "session"
_VERSION = 1
_PACKED = struct.Struct(f">BBBQ{AUTH_KEY_BYTES}s")


def seal_session(vault: Vault, session: Session, account_id: str) -> Sealed:
    """The session, encrypted for one account."""
    packed = _PACKED.pack(_VERSION, session.dc_id, session.test_mode, session.user_id, session.auth_key)
    return vault.seal(packed, account_id, SESSION)


def unseal_session(vault: Vault, sealed: Sealed, account_id: str) -> Session:
    """Raises SecretUnreadableError."""
    packed = vault.unseal(sealed, account_id, SESSION)
    if len(packed) != _PACKED.size or packed[0] != _VERSION:
        raise SecretUnreadableError("It was written by a newer version of tgfleet.")
    _, dc_id, test_mode, user_id, auth_key = _PACKED.unpack(packed)
    return Session("vault", dc_id, auth_key, bool(test_mode), user_id)
