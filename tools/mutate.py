"""How many small faults the tests notice: mutmut over the modules that money and stopping depend on.

    tools/mutate.py [--sample N] [--seed S] [--modules PATTERN ...]      (`make mutate`)

Every mutant of a module is a fault; `killed` is one that a test noticed. Mutants of lines that no test runs count as
survived. mutmut knows only the layout `src/`, so it works in a copy of the project (build/mutation) that has it.
Prints a line for each module and exits 1 where the score of all is below 85 %.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COPY = ROOT / "build" / "mutation"
GOAL = 0.85
MODULES = [
    "stopline/ledger/*.py",
    "stopline/rules/limits/*.py",
    "stopline/rules/trading/*.py",
    "stopline/rules/closing/commands.py",
    "stopline/service/documents/aggregate.py",
    "stopline/service/documents/outbox.py",
    "stopline/service/trading/control_documents.py",
    "stopline/service/trading/controls.py",
    "stopline/model/control.py",
]
TESTS = ["tests/unit/ledger", "tests/unit/rules", "tests/unit/service", "tests/unit/model"]
BESIDE = [
    "shared",  # as it is, for the tests that read the sources
    "emulators",
    "functions",
    "infra",
    "tools",
    "docs",
    "requirements",
    "tests",
    "README.md",
    "Makefile",
]
KILLED = {1, 3, 36, 24, 152, 255, -24}  # by a test, or by running far longer than the right code


def main(arguments: list[str] | None = None) -> int:
    """Make the copy, run mutmut on all or a sample of the mutants, print the scores."""
    parser = argparse.ArgumentParser(description="Mutation score of the core.")
    parser.add_argument("--sample", type=int, help="try only so many mutants, drawn by the seed")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--modules", nargs="+", default=MODULES, help="patterns below shared/")
    options = parser.parse_args(arguments)
    prepare(options.modules)
    if options.sample:
        mutmut(["no.such.mutant"])  # makes the mutants and learns which test runs which function, then stops
        names = sorted(name for results in outcomes().values() for name in results)
        chosen = random.Random(options.seed).sample(names, min(options.sample, len(names)))
    else:
        chosen = []
    mutmut(chosen)
    return report(set(chosen))


def prepare(modules: list[str]) -> None:
    """Copy the project, with shared/ under the name that mutmut expects."""
    shutil.rmtree(COPY, ignore_errors=True)
    COPY.mkdir(parents=True)
    shutil.copytree(ROOT / "shared", COPY / "src")
    settings = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    settings = settings.replace('pythonpath = ["tests"]', 'pythonpath = ["tests", "src", "."]')
    lists = {
        "source_paths": ["src"],
        "only_mutate": [f"src/{pattern}" for pattern in modules],
        "also_copy": BESIDE,
        "pytest_add_cli_args_test_selection": TESTS,
        "pytest_add_cli_args": ["-p", "no:cacheprovider", "-x"],
    }
    lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in lists.items())
    (COPY / "pyproject.toml").write_text(f"{settings}\n[tool.mutmut]\n{lines}", encoding="utf-8")
    for name in BESIDE:
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, COPY / name)


def mutmut(names: list[str]) -> None:
    """Run mutmut in the copy. Its own exit code says nothing about the score."""
    command = [Path(sys.executable).with_name("mutmut"), "run", *names]
    subprocess.run(
        command,
        cwd=COPY,
        env={**os.environ, "CI": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )


def outcomes() -> dict[str, dict[str, int | None]]:
    """Return by module the exit code of every mutant; None: not tried."""
    found = {}
    for path in sorted((COPY / "mutants").rglob("*.py.meta")):
        results = json.loads(path.read_text(encoding="utf-8"))["exit_code_by_key"]
        if results:
            found[str(path.relative_to(COPY / "mutants" / "src")).removesuffix(".meta")] = results
    return found


def report(chosen: set[str]) -> int:
    """Print the score of every module and of all; return 0 where that reaches the goal."""
    total: Counter[str] = Counter()
    for module, results in outcomes().items():
        tried = {n: code for n, code in results.items() if code is not None and (not chosen or n in chosen)}
        killed = sum(code in KILLED for code in tried.values())
        total.update(tried=len(tried), killed=killed, mutants=len(results))
        if tried:
            print(f"{module}: {killed} of {len(tried)} killed, {killed / len(tried):.0%}")
            for name in sorted(name for name, code in tried.items() if code not in KILLED):
                print(f"    survived: {name}")
    score = total["killed"] / total["tried"] if total["tried"] else 0.0
    print(
        f"all: {total['killed']} of {total['tried']} killed ({total['mutants']} mutants in all), {score:.1%}"
    )
    return 0 if score >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
