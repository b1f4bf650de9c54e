"""The BigQuery emulator, a process from an environment of its own (see requirements/bigquery-emulator.in)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from emulators.processes import HOST, Process, answers_tcp, free_port
from emulators.topology import ROOT

VENV = ROOT / ".venv-bigquery"
NOT_INSTALLED = "The BigQuery emulator is not installed: run `make setup`."


def missing() -> list[str]:
    """Return a sentence on what must be installed first; empty when the emulator can start."""
    return [] if (VENV / "installed").exists() else [NOT_INSTALLED]


def bigquery(port: int, env: Mapping[str, str], logs: Path) -> Process:
    """Start the BigQuery emulator, in memory; it serves every project id."""
    command: list[str | Path] = [
        VENV / "bin" / "bqemulator",
        "start",
        "--ephemeral",
        f"--rest-host={HOST}",
        f"--rest-port={port}",
        f"--grpc-host={HOST}",
        f"--grpc-port={free_port()}",
        "--log-level=warning",
    ]
    # DuckDB looks for its extensions below the home folder: `make setup` put them into this one.
    return Process(
        "bigquery",
        command,
        lambda: answers_tcp(port),
        env={**env, "HOME": str(VENV / "home")},
        log=logs / "bigquery.log",
    )
