"""Audit what the functions are deployed with: known vulnerabilities, and a bill of materials for each function.

    tools/audit.py [--sbom FOLDER]        (`make audit`; its tools are in requirements/security.txt)

Exit 0: every package of every function was looked up and none has a known vulnerability. Exit 1: some have. Exit 2:
some could not be looked up, so nobody can say. A scanner that could not ask and reports no findings is the danger.
With --sbom 1: a bill is not that of its lock, or tells of this machine; it is not kept.
"""

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
_PIN = re.compile(r"^([a-z0-9-]+)==(\S+)", re.MULTILINE)


def main(arguments: list[str] | None = None) -> int:
    """Audit every lock of the functions; print one line each and a verdict."""
    parser = argparse.ArgumentParser(description="Audit the functions' locks.")
    parser.add_argument(
        "--sbom", type=Path, help="write a CycloneDX bill of materials for each function here"
    )
    options = parser.parse_args(arguments)
    locks = sorted(ROOT.glob("functions/*/requirements.txt"))
    if options.sbom:
        return write_boms(locks, options.sbom)
    reports = {lock.parent.name: audit(lock) for lock in locks}
    for name, report in reports.items():
        print(f"{name}: {summary(report)}")
    code = verdict(list(reports.values()))
    print(
        {0: "audited, nothing known", 1: "VULNERABLE", 2: "NOT AUDITED: the lines above say what is missing"}[
            code
        ]
    )
    return code


def audit(lock: Path) -> dict[str, Any]:
    """Return pip-audit's report of a lock: `dependencies`, each with `vulns` or with `skip_reason`."""
    command = [
        BIN / "pip-audit",
        "--disable-pip",
        "--no-deps",
        "--progress-spinner=off",
        "--format=json",
        "-r",
        lock,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        report = json.loads(done.stdout)
    except ValueError:
        last = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        return {"dependencies": [], "failed": last[:300]}
    return report if isinstance(report, dict) else {"dependencies": report}


def summary(report: dict[str, Any]) -> str:
    """Say in one line what a report says, and what it does not."""
    known, skipped = _split(report)
    vulnerable = [f"{d['name']} {v['id']}" for d in known for v in d["vulns"]]
    text = f"{len(known)} packages looked up, {len(skipped)} could not be"
    if skipped:
        text += f" (the first: {skipped[0]['skip_reason'][:120]})"
    if report.get("failed"):
        text += f"; pip-audit: {report['failed']}"
    return text + "".join(f"\n  {line}" for line in vulnerable)


def verdict(reports: list[dict[str, Any]]) -> int:
    """Return 1 where anything is vulnerable, else 2 where anything was not looked up, else 0."""
    split = [_split(report) for report in reports]
    if any(d["vulns"] for known, _ in split for d in known):
        return 1
    return 2 if not split or any(skipped or not known for known, skipped in split) else 0


def _split(report: dict[str, Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    known = [d for d in report["dependencies"] if "vulns" in d]
    return known, [d for d in report["dependencies"] if "vulns" not in d]


def write_boms(locks: list[Path], folder: Path) -> int:
    """Write one CycloneDX file a function; return 1 where one is not what it should be, and was not kept."""
    folder.mkdir(parents=True, exist_ok=True)
    code = 0
    for lock in locks:
        target = folder / f"{lock.parent.name}.cdx.json"
        subprocess.run(
            [
                BIN / "cyclonedx-py",
                "requirements",
                lock,
                "--of",
                "JSON",
                "--output-reproducible",
                "-o",
                target,
            ],
            check=True,
        )
        bom = placeless(json.loads(target.read_text(encoding="utf-8")))
        target.write_text(json.dumps(bom, indent=2) + "\n", encoding="utf-8")
        print(f"{target}: {len(bom.get('components', []))} components")
        for fault in faults(bom, lock.read_text(encoding="utf-8")):
            print(f"  WRONG: {fault}")
            target.unlink(missing_ok=True)
            code = 1
    return code


def placeless(bom: dict[str, Any]) -> dict[str, Any]:
    """Return a bill that does not say where packages may be had: the lock's hashes say what they are, from wherever."""
    components = [
        {name: value for name, value in component.items() if name != "externalReferences"}
        for component in bom.get("components", [])
    ]
    return {**bom, "components": components}


def faults(bom: dict[str, Any], lock: str) -> list[str]:
    """Say what is wrong with a bill of materials: what it lacks of its lock or has beside it, and what it tells of where it
    was written: folders, and where its packages came from.
    """
    locked = {f"{name} {version}" for name, version in _PIN.findall(lock)}
    components = bom.get("components", [])
    named = {f"{c['name'].lower().replace('_', '-')} {c.get('version', '')}" for c in components}
    found = [] if locked else ["the lock pins nothing"]
    found += [f"{pin} is missing" for pin in sorted(locked - named)]
    found += [f"{pin} is not in the lock" for pin in sorted(named - locked)]
    urls = {ref["url"] for c in components for ref in c.get("externalReferences", [])}
    found += [f"it names {url}" for url in sorted(urls)]
    text = json.dumps(bom)
    here = (str(place) for place in (ROOT, Path.home()) if len(place.parts) > 1)
    return found + [f"it names {place}" for place in here if f"{place}/" in text or f'{place}"' in text]


if __name__ == "__main__":
    sys.exit(main())
