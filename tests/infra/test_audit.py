"""The audit of dependencies says what it did not look up: no findings is not the same as not asked. A bill of materials
names all that is locked, and nothing else.
"""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from emulators.topology import ROOT, load

_TOOL = runpy.run_path(str(ROOT / "tools" / "audit.py"))
summary, verdict, faults, placeless, write_boms = (
    _TOOL[name] for name in ("summary", "verdict", "faults", "placeless", "write_boms")
)
HOME = "/home/somebody"
AN_INDEX = "https://index.example/simple/"
LOCKS = [ROOT / function.folder / "requirements.txt" for function in load().functions.values()]

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


def bill(lock: Path) -> dict[str, Any]:
    """Return what cyclonedx-py writes of a lock, as far as anybody looks at it."""
    pins = [
        line.split()[0].split("==") for line in lock.read_text().splitlines() if "==" in line.split("#")[0]
    ]
    return {
        "bomFormat": "CycloneDX",
        "components": [
            {
                "name": name,
                "version": version,
                "description": f"requirements line 3: {name}=={version} --hash=sha256:00",
                "externalReferences": [{"type": "distribution", "url": f"{AN_INDEX}{name}/"}],
            }
            for name, version in pins
        ],
        "metadata": {"properties": [{"name": "cdx:reproducible", "value": "true"}]},
    }


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.parent.name)
def test_a_bill_of_all_that_a_function_is_deployed_with_is_right(lock: Path) -> None:
    """Each locked package with its version, by a second reading of the lock."""
    bom = placeless(bill(lock))
    assert len(bom["components"]) > 40
    assert {"flask", "pydantic", "google-cloud-firestore"} <= {c["name"] for c in bom["components"]}
    assert faults(bom, lock.read_text()) == []


def _without_the_first(bom: dict[str, Any]) -> None:
    del bom["components"][0]


def _empty(bom: dict[str, Any]) -> None:
    bom["components"] = []


def _of_another_version(bom: dict[str, Any]) -> None:
    bom["components"][0]["version"] = "0.0.1"


def _with_a_stranger(bom: dict[str, Any]) -> None:
    bom["components"].append({"name": "stranger", "version": "1"})


def _that_names_an_index(bom: dict[str, Any]) -> None:
    reference = {"type": "distribution", "url": f"{AN_INDEX}flask/"}
    bom["components"][0]["externalReferences"] = [reference]


def _that_names_this_folder(bom: dict[str, Any]) -> None:
    bom["metadata"]["component"] = {"name": "fills", "bom-ref": f"{ROOT}/functions/fills"}


def _that_names_its_writer(bom: dict[str, Any]) -> None:
    bom["metadata"]["properties"].append({"name": "cache", "value": HOME})


SPOILED: dict[Callable[[dict[str, Any]], None], str] = {
    _without_the_first: " is missing",
    _empty: " is missing",
    _of_another_version: " 0.0.1 is not in the lock",
    _with_a_stranger: "stranger 1 is not in the lock",
    _that_names_an_index: f"it names {AN_INDEX}flask/",
    _that_names_this_folder: f"it names {ROOT}",
    _that_names_its_writer: f"it names {HOME}",
}


@pytest.mark.parametrize("spoil", SPOILED, ids=lambda spoil: spoil.__name__.strip("_"))
def test_a_bill_that_lacks_something_or_tells_of_this_machine_is_refused(
    spoil: Callable[[dict[str, Any]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", HOME)
    bom = placeless(bill(LOCKS[0]))
    spoil(bom)
    assert any(SPOILED[spoil] in fault for fault in faults(bom, LOCKS[0].read_text()))
    assert faults({"components": []}, "") == ["the lock pins nothing"]


def test_a_bill_that_is_wrong_is_not_kept_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By a program that writes what stands here, in place of cyclonedx-py."""
    good, empty, program = bill(LOCKS[0]), {"components": []}, tmp_path / "cyclonedx-py"
    program.write_text('#!/bin/sh\nfor name; do :; done\nprintf %s "$THE_BILL" > "$name"\n')
    program.chmod(0o755)
    monkeypatch.setitem(write_boms.__globals__, "BIN", tmp_path)
    target = tmp_path / "out" / f"{LOCKS[0].parent.name}.cdx.json"
    for bom, code in ((good, 0), (empty, 1)):
        monkeypatch.setenv("THE_BILL", json.dumps(bom))
        assert write_boms(LOCKS[:1], tmp_path / "out") == code
        assert target.exists() is (code == 0)
        assert code or AN_INDEX not in target.read_text()
        assert ("WRONG: " in capsys.readouterr().out) is (code == 1)
