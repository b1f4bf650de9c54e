"""Ends the process groups it was told of once its parent is gone, however the parent went.

Started by `processes` with a pipe as standard input. `+N` on a line: group N is running; `-N`: it was
stopped. The end of the input means that the parent has ended, killed perhaps: whatever still runs is stopped.
It uses nothing outside the standard library, so that it starts at once, and no path of this package.
"""

from __future__ import annotations

import os
import signal
import sys
import time

GRACE_SECONDS = 3.0


def send(group: int, number: int) -> bool:
    """Send a signal to a group; return whether anything was there to take it."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def main() -> None:
    """Follow the parent's lines to their end, then clean up."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
    deadline = time.monotonic() + GRACE_SECONDS
    left = {group for group in groups if send(group, signal.SIGTERM)}
    while left and time.monotonic() < deadline:
        time.sleep(0.05)
        left = {group for group in left if send(group, 0)}
    for group in left:
        send(group, signal.SIGKILL)


if __name__ == "__main__":
    main()
