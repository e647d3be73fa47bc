"""Telegram's API methods over the world: one function per method, TL objects in and out."""
