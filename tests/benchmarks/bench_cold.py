"""What the kill switch loads before its port opens, beside an empty function that loads Firestore's client.

    PYTHONPATH="$PWD" .venv/bin/python tests/benchmarks/bench_cold.py [--rounds 15]

Each lane is a process of its own, in turn, which ends where its port would open; figures are medians of processor time.
Compile first (`make setup` does): imports without prepared bytecode take twice as long.
"""

import argparse
import resource
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
MAIN = str(ROOT / "functions" / "kill_switch" / "main.py")
OPEN = "\nimport os; os._exit(0)"  # what a process does to end is no part of its start
LANES = {
    "functions-framework": "import functions_framework",
    "with Firestore's client": "import functions_framework; from google.cloud import firestore",
    "the kill switch": f"import runpy; runpy.run_path({MAIN!r})",
}


def seconds(code: str) -> float:
    """Return the processor time of a process that runs some code."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code + OPEN], check=True, cwd=ROOT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    took: dict[str, list[float]] = {name: [] for name in LANES}
    for _ in range(rounds):
        for name, code in LANES.items():
            took[name].append(seconds(code))
    medians = {name: statistics.median(times) for name, times in took.items()}
    floor = medians["with Firestore's client"]
    for name, median in medians.items():
        print(f"{name:24} {median * 1000:4.0f} ms  x{median / floor:.2f}")


if __name__ == "__main__":
    main()
