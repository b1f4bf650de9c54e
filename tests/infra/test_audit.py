"""The audit of dependencies says what it did not look up: no findings is not the same as not asked."""

from __future__ import annotations

import runpy
from typing import Any

from emulators.topology import ROOT

_TOOL = runpy.run_path(str(ROOT / "tools" / "audit.py"))
summary, verdict = _TOOL["summary"], _TOOL["verdict"]

CLEAN = {"name": "flask", "version": "3.1", "vulns": []}
BAD = {"name": "werkzeug", "version": "0.1", "vulns": [{"id": "PYSEC-1", "fix_versions": ["1"]}]}
SKIPPED = {"name": "grpcio", "skip_reason": "not found"}


def report(*dependencies: dict[str, Any]) -> dict[str, Any]:
    return {"dependencies": list(dependencies)}


def test_a_scan_that_looked_nothing_up_is_not_clean() -> None:
    assert verdict([]) == 2
    assert verdict([report()]) == 2
    assert verdict([report(CLEAN), report(SKIPPED)]) == 2
    assert verdict([report(CLEAN), {"dependencies": [], "failed": "no network"}]) == 2


def test_a_package_that_could_not_be_looked_up_is_not_clean() -> None:
    assert verdict([report(CLEAN, SKIPPED)]) == 2
    assert "1 packages looked up, 1 could not be" in summary(report(CLEAN, SKIPPED))


def test_one_vulnerable_package_fails_whatever_else_is_unknown() -> None:
    assert verdict([report(CLEAN, SKIPPED, BAD)]) == 1
    assert "werkzeug PYSEC-1" in summary(report(BAD))


def test_only_a_whole_scan_without_findings_passes() -> None:
    assert verdict([report(CLEAN), report(CLEAN)]) == 0
