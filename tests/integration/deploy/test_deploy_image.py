"""What goes into the image, by reading: there is no container engine where the tests run."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PIN = re.compile(r"^([a-z0-9._-]+)==(\S+)", re.MULTILINE)


def test_the_runtime_lock_pins_what_the_tests_ran_with_and_no_tool_of_theirs() -> None:
    runtime = dict(PIN.findall((ROOT / "requirements-runtime.lock").read_text()))
    tested = dict(PIN.findall((ROOT / "requirements.lock").read_text()))
    assert runtime.items() <= tested.items()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {re.split(r"[^a-z0-9-]", wanted)[0] for wanted in project["dependencies"]}
    assert declared <= runtime.keys()
    assert not {"pytest", "mypy", "ruff", "telethon", "pgserver", "kubernetes-validate"} & runtime.keys()


def test_the_image_runs_as_a_numbered_user_and_gets_the_files_that_it_copies() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    assert "USER 10001:10001" in lines
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copies = [line.split()[1:-1] for line in lines if line.startswith("COPY ") and "--from" not in line]
    copied = {Path(path).name for paths in copies for path in paths}
    assert copied == allowed
    assert all((ROOT / name).exists() for name in copied)
