"""Every setting is documented once, known to every process, and stands in the README as it is."""

from __future__ import annotations

from pathlib import Path

from services.runtime.setting_names import ALL_NAMES
from tests.support.settings_table import rows, table

ROOT = Path(__file__).resolve().parents[2]
BETWEEN_PROCESSES = {"TGFLEET_LIFELINE_FD", "TGFLEET_READY_FD"}
"""Set by a supervisor for its children; not for people."""


def test_every_setting_has_a_meaning() -> None:
    assert [name for name, (row, _) in rows().items() if not row.meaning.strip()] == []


def test_the_known_names_are_exactly_those_that_some_service_reads() -> None:
    ours = {name for name in rows() if name.startswith("TGFLEET_")}
    assert ours == ALL_NAMES - BETWEEN_PROCESSES


def test_the_readme_has_the_table_as_it_is() -> None:
    readme = (ROOT / "README.md").read_text()
    assert table() in readme, "run `python -m tests.support.settings_table` and paste it"
