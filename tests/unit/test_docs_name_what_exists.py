"""What the operators' pages name exists: tests, and in SECURITY.md a test or a reason for every row."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").glob("*.md"))]
NO_TEST = "nothing to try"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_test_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text()
    files = {path.name: path for path in (ROOT / "tests").rglob("test_*.py")}
    named = set(re.findall(r"`((?:tests/[\w/]*/)?test_\w+\.py)`", text))
    assert [name for name in named if "/" in name and not (ROOT / name).is_file()] == []
    assert [name for name in named if Path(name).name not in files] == []
    functions = set(re.findall(r"`(test_\w+)`", text))
    sources = "".join(path.read_text() for path in files.values()) if functions else ""
    assert [name for name in functions if f"def {name}(" not in sources] == []


def test_every_row_of_the_security_page_is_tried_or_says_why_not() -> None:
    lines = (ROOT / "docs" / "SECURITY.md").read_text().splitlines()
    rows = [line for line in lines if line.startswith("| ")][1:]
    assert len(rows) > 10
    untried = [row for row in rows if "`test" not in (cell := row.split("|")[-2]) and NO_TEST not in cell]
    assert untried == []
