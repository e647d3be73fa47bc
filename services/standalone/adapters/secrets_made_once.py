"""Keys and tokens that a fleet needs before anybody could give it any: made at the first start, kept in
private files."""

import base64
import secrets
from pathlib import Path

from services.standalone.adapters.atomic_file import create_private


def ensure_master_key(path: Path) -> None:
    """A file with one line `key_id:base64 of 32 random bytes` (AES-256). Raises OSError."""
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    create_private(path, f"k1:{key}\n")


def ensure_token(path: Path) -> str:
    """The administrator's first token, `tgf_` and 32 random bytes; made once. Raises OSError."""
    create_private(path, f"tgf_{secrets.token_urlsafe(32)}\n")
    return path.read_text().strip()
