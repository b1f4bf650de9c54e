"""The clocks: the machine's, and one that a replay moves."""

import random
import time
from datetime import UTC, datetime
from pathlib import Path

from stopline.model.times import parse_utc, utc_text


class SystemClock:
    """The machine's time."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def ticks(self) -> float:
        return time.monotonic()

    def pause(self, attempt: int) -> None:
        time.sleep(random.uniform(0, min(1.0, 0.01 * 2**attempt)))  # noqa: S311 - jitter, not a secret


class ReplayClock(SystemClock):
    """A time that stands until somebody moves it, shared by processes through a small file.

    The demo and the emulated replays run a past day through the real functions: every process reads the day's
    time from the file, so a slow machine makes the replay slow, never stale.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def now(self) -> datetime:
        return parse_utc(self._file.read_text("ascii"))

    def ticks(self) -> float:
        return self.now().timestamp()

    def set(self, moment: datetime) -> None:
        """Move the time, for every process that reads the file."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(utc_text(moment), "ascii")
        fresh.replace(self._file)


class ManualClock:
    """A time in memory that the caller moves; a pause takes no time."""

    def __init__(self, moment: datetime) -> None:
        self._moment = moment

    def now(self) -> datetime:
        return self._moment

    def ticks(self) -> float:
        return self._moment.timestamp()

    def set(self, moment: datetime) -> None:
        """Move the time."""
        self._moment = moment

    def pause(self, attempt: int) -> None:
        """Go on at once: the caller owns time."""
