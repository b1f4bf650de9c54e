"""The emulators come up fast, work together as the topology says, and leave nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery, firestore

from emulators import bootstrap
from emulators.bootstrap import Refused, Rest
from emulators.processes import HOST, NotReady, Process, alive, answers_tcp, free_port
from emulators.stack import Emulators, Stack, clean_environment

# Takes what is pushed to it, refuses what says so, and writes down what it saw.
FUNCTION = """
import base64, os
import functions_framework
from google.cloud import firestore

@functions_framework.cloud_event
def on_fills(event):
    body = base64.b64decode(event.data["message"]["data"]).decode()
    if body == "poison":
        raise RuntimeError("no")
    settings = {key: os.environ[key] for key in ("GOOGLE_CLOUD_PROJECT", "STOPLINE_SETTING")}
    firestore.Client().collection("seen").document(body).set(settings)
"""
# Writes down which subscription gave up what is pushed to it.
TELLS = """
import functions_framework
from google.cloud import firestore

@functions_framework.http
def on_alert(request):
    message = request.get_json()["message"]
    given_up_by = message["attributes"]["CloudPubSubDeadLetterSourceSubscription"]
    firestore.Client().collection("seen").document("dead").set({"by": given_up_by})
    return "", 204
"""


@pytest.fixture
def pushed(emulators: Emulators, tmp_path: Path) -> Iterator[Stack]:
    """A stack with tiny functions in place of `fills` and `alerts`."""
    sources = {"fills": tmp_path / "fills.py", "alerts": tmp_path / "alerts.py"}
    sources["fills"].write_text(FUNCTION)
    sources["alerts"].write_text(TELLS)
    with Stack(emulators=emulators, logs=tmp_path) as stack:
        yield stack.up(sources, settings={"STOPLINE_SETTING": "x"})


def wait_for(stack: Stack, name: str) -> dict[str, str] | None:
    """Return a document that a function wrote, once it is there; None after a minute."""
    client = firestore.Client(project=stack.project)
    document = client.collection("seen").document(name)
    deadline = time.monotonic() + 60
    while not (seen := document.get()).exists and time.monotonic() < deadline:
        time.sleep(0.02)
    client.close()
    return seen.to_dict()


def test_a_published_message_reaches_its_function(pushed: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """A push goes through functions-framework's own server, which reaches Firestore: R0.3."""
    for key, value in pushed.env.items():
        monkeypatch.setenv(key, value)
    pushed.publish("fills", b"hello")
    assert wait_for(pushed, "hello") == {"GOOGLE_CLOUD_PROJECT": pushed.project, "STOPLINE_SETTING": "x"}


def test_what_a_function_refuses_ends_in_the_dead_letter(
    pushed: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F25: kept for people to look at, and pushed to the function that tells them."""
    for key, value in pushed.env.items():
        monkeypatch.setenv(key, value)
    pushed.publish("fills", b"poison", {"broker": "paper"})
    (message,) = pushed.pull("fills-dead-pull", seconds=30)
    assert message.data == b"poison"
    assert message.attributes["broker"] == "paper"
    assert message.attributes["CloudPubSubDeadLetterSourceSubscription"] == "fills-push"
    assert wait_for(pushed, "dead") == {"by": "fills-push"}


def test_every_subscription_is_made_as_the_topology_says(project: Stack) -> None:
    rest = Rest(project.emulators.pubsub_host)
    here = f"projects/{project.project}"
    for name, entry in project.topology.subscriptions.items():
        made = rest.call("GET", f"/v1/{here}/subscriptions/{name}")
        assert made["topic"] == f"{here}/topics/{entry.topic}"
        assert made["ackDeadlineSeconds"] == entry.ack_seconds
        assert made.get("enableMessageOrdering", False) is entry.ordered
        assert made["deadLetterPolicy"]["deadLetterTopic"] == f"{here}/topics/{entry.topic}-dead"
        assert not made.get("expirationPolicy")
    rest.close()


def test_projects_on_the_same_emulators_do_not_see_each_other(emulators: Emulators, project: Stack) -> None:
    with Stack(emulators=emulators).up(functions=()) as other:
        other.publish("alerts", {"to": "other"})
        assert project.pull("alerts-push", seconds=0.3) == []
        assert [message.json() for message in other.pull("alerts-push")] == [{"to": "other"}]


def test_a_message_keeps_its_attributes_and_its_ordering_key(project: Stack) -> None:
    project.publish("orders", {"n": 1}, {"epoch": "4"}, ordering_key="acct-1")
    (message,) = project.pull("orders-broker")
    assert (message.json(), message.attributes, message.ordering_key) == ({"n": 1}, {"epoch": "4"}, "acct-1")


@pytest.mark.usefixtures("needs_bigquery")
def test_bigquery_answers_and_has_the_dataset(project: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in project.env.items():
        monkeypatch.setenv(key, value)
    client = bigquery.Client(project=project.project, credentials=AnonymousCredentials())
    assert [dataset.dataset_id for dataset in client.list_datasets()] == ["stopline"]
    rows = client.query_and_wait("SELECT CAST('1.23456789' AS NUMERIC(38, 9)) AS price")
    assert [str(row["price"]) for row in rows] == ["1.234567890"]
    client.close()


@pytest.mark.usefixtures("needs_bigquery")
def test_tables_and_views_are_made_from_their_files(project: Stack, tmp_path: Path) -> None:
    """Both forms of a table file, a type that the emulator lacks, and views in the wrong order."""
    (tmp_path / "views").mkdir()
    fields = [{"name": "day", "type": "DATE"}, {"name": "pnl", "type": "BIGNUMERIC"}]
    (tmp_path / "plain.json").write_text(json.dumps(fields))
    table = {"schema": {"fields": fields}, "timePartitioning": {"type": "DAY", "field": "day"}}
    (tmp_path / "parted.json").write_text(json.dumps({**table, "clustering": {"fields": ["pnl"]}}))
    (tmp_path / "views" / "a_total.sql").write_text("SELECT SUM(pnl) AS total FROM `{dataset}.b_days`")
    (tmp_path / "views" / "b_days.sql").write_text("SELECT day, pnl FROM `{dataset}.plain`")
    assert project.emulators.bigquery_url is not None
    rest = Rest(project.emulators.bigquery_url.removeprefix("http://"), "/bigquery/v2")
    bootstrap.bigquery(rest, project.project, "other", tmp_path)
    here = f"/projects/{project.project}"
    made = rest.call("GET", f"{here}/datasets/other/tables")["tables"]
    assert {table["tableReference"]["tableId"] for table in made} == {"plain", "parted", "a_total", "b_days"}
    row = {"insertId": "1", "json": {"day": "2026-01-05", "pnl": "12.345678901"}}
    answer = rest.call("POST", f"{here}/datasets/other/tables/plain/insertAll", {"rows": [row]})
    assert not answer.get("insertErrors")
    query = f"SELECT total FROM `{project.project}.other.a_total`"
    answer = rest.call("POST", f"{here}/queries", {"query": query, "useLegacySql": False})
    assert answer["rows"] == [{"f": [{"v": "12.345678901"}]}]
    with pytest.raises(Refused, match="answered 409"):
        bootstrap.bigquery(rest, project.project, "other", tmp_path)
    rest.close()


def test_a_stack_of_its_own_comes_up_and_leaves_no_process(tmp_path: Path, emulators: Emulators) -> None:
    source = tmp_path / "main.py"
    source.write_text(FUNCTION)
    stack = Stack(logs=tmp_path / "logs")
    with stack:
        stack.up({"fills": source}, bigquery=emulators.bigquery_url is not None)
        groups = [*stack.processes.values(), *stack.emulators.processes.values()]
        assert all(alive(process.group) for process in groups)
        # A request still open must not keep the function.
        assert requests.get(stack.urls["fills"], timeout=5).status_code == 405
    assert not [process.name for process in groups if alive(process.group)]


PARENT = """
import sys, time
from pathlib import Path
from emulators.stack import Emulators
emulators = Emulators(bigquery=False, logs=Path(sys.argv[1])).wait_ready()
print(*(process.group for process in emulators.processes.values()), flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
@pytest.mark.usefixtures("emulators")
def test_the_end_of_the_program_is_the_end_of_its_emulators(how: signal.Signals, tmp_path: Path) -> None:
    """Whichever way it ended: the warden stops what it left."""
    command = [sys.executable, "-c", PARENT, str(tmp_path)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    ) as parent:
        assert parent.stdout is not None
        groups = [int(group) for group in parent.stdout.readline().split()]
        assert len(groups) == 2
        assert all(alive(group) for group in groups)
        os.killpg(parent.pid, how)
    deadline = time.monotonic() + 10
    while any(alive(group) for group in groups) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(alive(group) for group in groups)


def test_a_process_that_ends_early_is_reported_with_its_log(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-c", "print('no such module'); raise SystemExit(3)"]
    process = Process("broken", command, lambda: answers_tcp(port), env={}, log=tmp_path / "log")
    with pytest.raises(NotReady, match=r"broken ended with code 3:\s+no such module"):
        process.wait_ready(5)
    process.stop()


def test_a_process_that_ignores_the_request_to_end_is_killed_with_its_children(tmp_path: Path) -> None:
    port = free_port()
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    child = f"{deaf}; time.sleep(600)"
    code = f"""
{deaf}
import socket, subprocess, sys
subprocess.Popen([sys.executable, "-c", {child!r}])
time.sleep(0.3)
server = socket.create_server(({HOST!r}, {port}))
time.sleep(600)
"""
    env = clean_environment()
    process = Process(
        "deaf", [sys.executable, "-c", code], lambda: answers_tcp(port), env=env, log=tmp_path / "log"
    )
    process.wait_ready(10)
    process.stop(seconds=0.3)
    assert not alive(process.group)


def test_settings_of_a_real_deployment_stay_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "real")
    monkeypatch.setenv("STOPLINE_DISCORD_WEBHOOK", "real")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "real")
    assert "real" not in clean_environment().values()
