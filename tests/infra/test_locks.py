"""The locks pin every version by its content and say nothing of where it was fetched."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from emulators.topology import ROOT, load

LOCKS = [
    ROOT / "requirements" / "dev.txt",
    ROOT / "requirements" / "bigquery-emulator.txt",
    ROOT / "requirements" / "security.txt",
    ROOT / "requirements" / "mutation.txt",
    *(ROOT / function.folder / "requirements.txt" for function in load().functions.values()),
]
PIN = re.compile(
    r"^(?P<name>[a-z0-9-]+)==\S+(?: ; .+)? \\\n(?: +--hash=sha256:[0-9a-f]{64}(?: \\)?\n)+", re.MULTILINE
)


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: str(lock.relative_to(ROOT)))
def test_every_line_is_a_pin_with_hashes(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8")
    left = [
        line for line in PIN.sub("", text).splitlines() if line.strip() and not line.strip().startswith("#")
    ]
    assert PIN.search(text)
    assert left == []
    assert "://" not in text


@pytest.mark.parametrize("name", ["fills", "kill_switch", "prices"])
def test_the_fast_functions_carry_nothing_heavy(name: str) -> None:
    """What is not installed cannot slow a cold start."""
    text = (ROOT / "functions" / name / "requirements.txt").read_text(encoding="utf-8")
    names = {match["name"] for match in PIN.finditer(text)}
    assert {"functions-framework", "pydantic", "google-cloud-firestore"} <= names
    assert not names & {"pandas", "pyarrow", "scipy", "twilio", "google-cloud-bigquery", "exchange-calendars"}
