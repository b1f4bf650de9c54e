"""Processes of the emulators: whatever happens while one starts, somebody knows it and ends it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from emulators import processes
from emulators.processes import Process, alive


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_waits_until_a_process_that_starts_is_known(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    start, started = subprocess.Popen, []

    def interrupted(*command: Any, **how: Any) -> subprocess.Popen[bytes]:
        process = start(*command, **how)
        if not started:  # the second is the warden
            started.append(process)
            signal.raise_signal(number)
        return process

    before = signal.signal(number, signal.default_int_handler)
    monkeypatch.setattr(subprocess, "Popen", interrupted)
    try:
        with pytest.raises(KeyboardInterrupt):
            Process(
                "sleeper",
                [sys.executable, "-c", "import time; time.sleep(600)"],
                lambda: True,
                env=os.environ,
                log=tmp_path / "log",
            )
        processes._running._processes[started[0].pid].stop()
        assert not alive(started[0].pid)
    finally:
        signal.signal(number, before)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(started[0].pid, signal.SIGKILL)
        started[0].wait()
