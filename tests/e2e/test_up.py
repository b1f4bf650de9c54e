"""`stopline up`: one command, a whole system, and nothing left behind."""

import json
import os
import signal
import subprocess
import sys

import pytest

from emulators import google

STOPLINE = [sys.executable, "-c", "from stopline.cli.main import main; main()"]


@pytest.mark.emulators
def test_up_gives_a_system_that_other_terminals_can_use_until_ctrl_c() -> None:
    """R8.1 R8.2 R5.1: accounts on its Firestore, the kill switch with its token, and an end within seconds."""
    if google.missing():
        pytest.skip(" ".join(google.missing()))
    up = subprocess.Popen([*STOPLINE, "up", "--json", "--no-bigquery"], stdout=subprocess.PIPE, text=True)
    try:
        assert up.stdout is not None
        text = ""
        for line in up.stdout:
            text += line
            if line == "}\n":
                break
        facts = json.loads(text)
        env = {**os.environ, **facts["env"]}
        made = subprocess.run(
            [*STOPLINE, "accounts", "create", "desk", "--capital", "100000"],
            env=env,
            capture_output=True,
            text=True,
        )
        assert made.returncode == 0, made.stderr
        shown = subprocess.run(
            [*STOPLINE, "accounts", "list", "--json"], env=env, capture_output=True, text=True
        )
        assert [account["account"] for account in json.loads(shown.stdout)] == ["desk"]
        status = [*STOPLINE, "status", "desk", "--json"]
        stood = subprocess.run(status, env=env, capture_output=True, text=True)
        assert stood.returncode == 0, stood.stderr
        assert json.loads(stood.stdout)["effective_state"] == "ACTIVE"
    finally:
        up.send_signal(signal.SIGINT)
        assert up.wait(20) == 0
        assert up.stdout is not None
        up.stdout.close()
