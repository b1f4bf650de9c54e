"""`make demo`: the whole story runs, adds up, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from emulators.stack import available

COMMAND = [sys.executable, "-m", "emulators.demo.command"]
CONSERVED = re.compile(
    r"^published (\d+) = applied (\d+) \+ duplicates 1 \+ quarantined 1 \+ in flight 0$", re.M
)
NEEDED = available()
# The whole day is played in one process anyway.
SHORT = [] if os.environ.get("STOPLINE_LONG") else ["--short"]

on_emulators = pytest.mark.skipif(bool(NEEDED), reason=" ".join(NEEDED))


def environment(mark: str, **more: str) -> dict[str, str]:
    return {**os.environ, "COLUMNS": "100", "DEMO_TEST_MARK": mark, **more}


def left_over(mark: str) -> list[str]:
    """Return the commands of processes that inherited a mark."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue  # ended just now, or somebody else's
    return found


def check_story(text: str) -> None:
    """R1.6, R2.1, R2.4, R5.1, R6.1: from fills to a breach, to people, to the kill switch, to a flat book."""
    conserved = CONSERVED.search(text)
    assert conserved, text
    assert int(conserved[1]) == int(conserved[2]) + 2
    assert "RECONSTRUCTED" in text
    assert "80% of the daily loss limit" in text
    for message in ("SMS to +1415", "E-mail to trader@", "E-mail to operator@", "Discord to webhook"):
        assert message in text
    assert "CRITICAL demo: Loss of the day is" in text
    assert "refused: account demo is REDUCING" in text
    told = re.search(r"18 fills of a program that sells shares one by one, (\d+) told after the kill", text)
    assert told, text
    assert (
        8 <= int(told[1]) <= 18
    )  # beside the emulators the broker's link may have told some of the others too
    assert "The program's next 4 orders are refused: account demo is HALTED" in text
    assert "Flat, and it is the fills that say so" in text
    assert "the book says the same, to the cent" in text
    assert "0 open positions, trading HALTED" in text
    for line in text.splitlines():
        assert len(line) <= 100, line
    assert text.count("\n") < 200


def test_the_demo_in_one_process() -> None:
    mark = secrets.token_hex(8)
    run = subprocess.run(
        [*COMMAND, "--mode", "embedded"], capture_output=True, text=True, env=environment(mark), timeout=60
    )
    assert (run.returncode, run.stderr) == (0, "")
    check_story(run.stdout)
    assert "sums in Python stand in for BigQuery" in run.stdout
    # docs/alerts.md lists them: the breach and the kill ring, all else is read when there is time
    assert "People were told by 2 SMS, 12 e-mails and 10 Discord messages." in run.stdout


def test_without_the_emulators_it_says_what_to_install(tmp_path: Path) -> None:
    """R8.2: the embedded mode tells the same story."""
    env = environment("", PATH=str(tmp_path), CLOUDSDK_ROOT_DIR=str(tmp_path))
    env.pop("JAVA_HOME", None)
    run = subprocess.run([*COMMAND, *SHORT], capture_output=True, text=True, env=env, timeout=60)
    assert run.returncode == 0, run.stderr
    assert "Java is missing: install Java" in run.stdout
    assert "gcloud components install pubsub-emulator" in " ".join(run.stdout.split())
    check_story(run.stdout)
    refused = subprocess.run(
        [*COMMAND, "--mode", "emulators"], capture_output=True, text=True, env=env, timeout=60
    )
    assert refused.returncode == 1
    assert "Java is missing" in refused.stderr


@on_emulators
@pytest.mark.emulators
@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_demo_on_the_emulators() -> None:
    """R0.3, R0.4: every function, Pub/Sub, Firestore, BigQuery, and the fakes of Twilio, Discord and SMTP.

    `STOPLINE_LONG=1`: each minute of the day.
    """
    mark = secrets.token_hex(8)
    command = [*COMMAND, "--mode", "emulators", *SHORT]
    run = subprocess.run(command, capture_output=True, text=True, env=environment(mark), timeout=220)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr
    check_story(run.stdout)
    assert "Three questions to BigQuery" in run.stdout
    assert left_over(mark) == []


@on_emulators
@pytest.mark.emulators
@pytest.mark.parametrize(("how", "when"), [(signal.SIGINT, "12:00"), (signal.SIGTERM, "Starting")])
def test_an_interrupted_demo_leaves_no_process(how: signal.Signals, when: str) -> None:
    """In the middle of the day, and while half of its processes are still to be started."""
    mark = secrets.token_hex(8)
    with subprocess.Popen(
        [*COMMAND, "--mode", "emulators", "--short"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment(mark, PYTHONUNBUFFERED="1"),
    ) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if line.startswith(when):
                break
        while len(left_over(mark)) < 5:  # itself, its warden, and the first that it starts
            time.sleep(0.02)
        demo.send_signal(how)
        text = demo.stdout.read()
        assert demo.wait(30) == 130
    assert "Stopped." in text
    deadline = time.monotonic() + 10
    while left_over(mark) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left_over(mark) == []
