"""The README's table of settings, made from the settings classes: `python -m tests.support.settings_table`.

A test compares it with the README, so that a setting is documented once, where it is defined.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator

from services.runtime.process import RuntimeSettings
from services.runtime.settings import SettingRow, describe

SERVICES = ("registry", "scheduler", "worker", "gateway", "admin", "standalone", "testdc")
BEGIN, END = "<!-- settings: made by `python -m tests.support.settings_table` -->", "<!-- /settings -->"


def rows() -> dict[str, tuple[SettingRow, list[str]]]:
    """Every name with its first description and the services that read it."""
    merged: dict[str, tuple[SettingRow, list[str]]] = {}
    for service, cls in _classes():
        for row in describe(cls):
            merged.setdefault(row.env, (row, []))[1].append(service)
    return merged


def _classes() -> Iterator[tuple[str, type]]:
    yield "all", RuntimeSettings
    for service in SERVICES:
        yield service, importlib.import_module(f"services.{service}.settings").Settings


def table() -> str:
    """The table in Markdown, between its two marks."""
    lines = [BEGIN, "", "| name | read by | default | meaning |", "|---|---|---|---|"]
    for row, services in rows().values():
        meaning = " ".join(row.meaning.split()).replace("|", "\\|")
        shown = "" if row.default.startswith("Secret(") else row.default
        default = f"`{shown}`" if shown else ""
        lines.append(f"| `{row.env}` | {', '.join(dict.fromkeys(services))} | {default} | {meaning} |")
    return "\n".join([*lines, "", END])


if __name__ == "__main__":
    print(table())
