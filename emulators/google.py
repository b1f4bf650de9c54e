"""The Firestore and Pub/Sub emulators of the Google Cloud CLI.

Their launchers are started directly: `gcloud beta emulators … start` does the same with seconds of Python
before it.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from emulators.processes import HOST, Process, answers_http

_FIRESTORE = Path("platform/cloud-firestore-emulator/cloud_firestore_emulator")
_PUBSUB = Path("platform/pubsub-emulator/bin/cloud-pubsub-emulator")
# Java's second compiler takes more processor time in the first minutes than the emulators themselves: 4,000 commits cost
# 18 s with it and 6 s without.
_QUICK_JAVA = "-XX:TieredStopAtLevel=1"

NO_JAVA = "Java is missing: install Java 11 or newer (Debian: apt-get install default-jre-headless)."
NO_CLI = "The Google Cloud CLI is missing: install it as https://cloud.google.com/sdk/docs/install says."
NO_FIRESTORE = (
    "The Firestore emulator is missing: run `gcloud components install cloud-firestore-emulator` "
    "(with a CLI from apt: apt-get install google-cloud-cli-firestore-emulator)."
)
NO_PUBSUB = (
    "The Pub/Sub emulator is missing: run `gcloud components install pubsub-emulator` "
    "(with a CLI from apt: apt-get install google-cloud-cli-pubsub-emulator)."
)


@functools.cache
def sdk_root() -> Path | None:
    """Return the folder of the Google Cloud CLI, or None where there is none."""
    named = os.environ.get("CLOUDSDK_ROOT_DIR")
    if named:
        return Path(named)
    gcloud = shutil.which("gcloud")
    if gcloud is None:
        return None
    beside = Path(gcloud).resolve().parent.parent
    if (beside / "platform").is_dir():
        return beside
    answer = subprocess.run(
        [gcloud, "info", "--format=value(installation.sdk_root)"], capture_output=True, text=True, check=False
    )
    return Path(answer.stdout.strip()) if answer.stdout.strip() else None


def missing() -> list[str]:
    """Return a sentence on each thing that must be installed first; empty when both emulators can start."""
    sentences = []
    if not (os.environ.get("JAVA_HOME") or shutil.which("java")):
        sentences.append(NO_JAVA)
    root = sdk_root()
    if root is None:
        return [*sentences, NO_CLI]
    if not (root / _FIRESTORE).exists():
        sentences.append(NO_FIRESTORE)
    if not (root / _PUBSUB).exists():
        sentences.append(NO_PUBSUB)
    return sentences


def firestore(port: int, env: Mapping[str, str], logs: Path) -> Process:
    """Start the Firestore emulator; it serves every project id."""
    return _start("firestore", _FIRESTORE, port, env, logs)


def pubsub(port: int, env: Mapping[str, str], logs: Path) -> Process:
    """Start the Pub/Sub emulator; it serves every project id."""
    return _start("pubsub", _PUBSUB, port, env, logs)


def _start(name: str, launcher: Path, port: int, env: Mapping[str, str], logs: Path) -> Process:
    root = sdk_root()
    if root is None:
        raise FileNotFoundError(NO_CLI)
    return Process(
        name,
        [root / launcher, f"--host={HOST}", f"--port={port}"],
        lambda: answers_http(port),
        env={**env, "JAVA_TOOL_OPTIONS": f"{_QUICK_JAVA} {env.get('JAVA_TOOL_OPTIONS', '')}".strip()},
        log=logs / f"{name}.log",
    )
