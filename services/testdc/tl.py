"""The TL classes that kurigram generates from Telegram's schema, as one untyped door.

They are re-exported in a way that type checkers do not follow, and their fields are only known at run
time; pretending otherwise would need a cast at every use.
"""

from __future__ import annotations

from typing import Any

from pyrogram import raw as _raw

raw: Any = _raw
