"""The memory of processes over time, and whether it grows."""

from __future__ import annotations

import os
import statistics
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from emulators.processes import Process

MEGABYTE = 1_000_000
SLACK = 2 * MEGABYTE  # what an allocator may keep without a leak
GROWTH = 0.05  # that is seen as one, from the third quarter of the time to the last


def resident(pid: int) -> int:
    """Return the memory of a process in bytes; 0 where it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def members(group: int) -> list[int]:
    """Return the processes of a group."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group:
            found.append(int(stat.parent.name))
    return found


def growth(samples: Sequence[int]) -> float:
    """Return by which share memory grew from the third quarter to the last, by their medians: a peak of a moment counts
    for nothing, and the first half is the warm-up.
    """
    quarter = len(samples) // 4
    before = statistics.median(samples[2 * quarter : 3 * quarter])
    after = statistics.median(samples[-quarter:])
    return float(max(0.0, after - before - SLACK) / before)


class Watch(threading.Thread):
    """Notes the memory of each process of some groups every few seconds: `samples`, by name and process id. A worker that
    dies and comes back is another process, with samples of its own.
    """

    def __init__(self, processes: Mapping[str, Process], every: float) -> None:
        super().__init__(daemon=True)
        self._processes = processes
        self._every = every
        self._stopped = threading.Event()
        self.samples: dict[tuple[str, int], list[int]] = {}

    def run(self) -> None:
        while not self._stopped.wait(self._every):
            for name, process in self._processes.items():
                for pid in members(process.group):
                    self.samples.setdefault((name, pid), []).append(resident(pid))

    def stop(self) -> None:
        """Look no more."""
        self._stopped.set()
        self.join()

    def tell(self) -> None:
        """Print how the memory of each process went, and by how much it grew."""
        for (name, pid), seen in sorted(self.samples.items()):
            sizes = ", ".join(f"{size / MEGABYTE:.0f}" for size in seen[:: max(1, len(seen) // 10)])
            grown = f", grown by {growth(seen):.1%}" if len(seen) >= 8 else ""
            print(f"memory of {name} {pid}: {sizes} MB{grown}")
