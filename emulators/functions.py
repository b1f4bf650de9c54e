"""The functions, each in a server process of its own as on Google Cloud: functions-framework on gunicorn."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from emulators.processes import HOST, Process, answers_tcp
from emulators.topology import Function


def function(
    name: str, entry: Function, source: Path, port: int, env: Mapping[str, str], logs: Path
) -> Process:
    """Start one function from its main.py; its port opens once the module is imported."""
    if not source.exists():
        raise FileNotFoundError(f"the function {name} has no {source}")
    command = [
        sys.executable,
        "-m",
        "functions_framework",
        f"--source={source}",
        f"--target={entry.entry_point}",
        f"--host={HOST}",
        f"--port={port}",
    ]
    sockets = logs / f"{name}.run"
    sockets.mkdir(parents=True, exist_ok=True)
    settings = {
        "XDG_RUNTIME_DIR": str(
            sockets
        ),  # else every gunicorn puts its control socket at one place in the home folder
        "K_SERVICE": name,
        "THREADS": str(entry.concurrency),
        "CLOUD_RUN_TIMEOUT_SECONDS": str(entry.timeout_seconds),
        "PYTHONUNBUFFERED": "1",
    }
    return Process(
        name,
        command,
        lambda: answers_tcp(port),
        env={**env, **settings},
        log=logs / f"{name}.log",
        folder=source.parent,
    )
