"""Dead letters and quarantine on the emulators: seen, brought back, dropped, and on record."""

import base64
import json
import random
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner, Result
from e2e.at_rest import check_digests
from e2e.storm import app_of, check_books, create_accounts, make_fills

from emulators.stack import Message, Stack
from stopline.adapters.clock import SystemClock
from stopline.adapters.dead_letters import DeadLetters
from stopline.adapters.firestore import FirestoreStore
from stopline.adapters.pubsub import PubSubBus
from stopline.cli.main import main
from stopline.model.errors import Rejected
from stopline.ports import Unavailable
from stopline.runtime.app import App
from stopline.runtime.envelope import parse_envelope
from stopline.runtime.handlers import handle
from stopline.runtime.ports import Ports


@pytest.fixture
def cli(project: Stack, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    for name, value in project.env.items():
        monkeypatch.setenv(name, value)
    return CliRunner()


def run(cli: CliRunner, *arguments: str) -> Result:
    return cli.invoke(main, list(arguments))


def audited(project: Stack) -> list[tuple[str, str]]:
    """Return what is on record, each event once: a row may be published twice under its id."""
    rows = {
        row["event_id"]: row["row"] for m in project.pull("history-push", 100, 2) for row in m.json()["rows"]
    }
    return [(row["event"], row["reason"]) for row in rows.values()]


def test_a_dead_letter_is_listed_shown_redriven_and_dropped(project: Stack, cli: CliRunner) -> None:
    """F25, F27: what was given up comes back to its topic once, or goes for good; both on record."""
    for n in range(3):
        attributes = {"n": str(n), "CloudPubSubDeadLetterSourceDeliveryCount": "5"}
        project.publish("fills-dead", b'{"n": %d}' % n, attributes)
    listed = json.loads(run(cli, "dead-letters", "list", "--json").output)
    assert [(f["topic"], f["attempts"], f["bytes"]) for f in listed] == [("fills", 5, 8)] * 3
    ids = [f["id"] for f in listed]
    assert "n" in run(cli, "dead-letters", "show", "fills", ids[0]).output

    assert run(cli, "dead-letters", "redrive", "fills", ids[1]).output == "1 redriven, 2 left\n"
    [back] = project.pull("fills-push", 1)
    assert (back.json(), back.attributes) == ({"n": 1}, {"n": "1"})
    assert (
        run(cli, "dead-letters", "drop", "fills", "--all", "--reason", "a test").output
        == "2 dropped, 0 left\n"
    )
    assert run(cli, "dead-letters", "list").output == "there are no dead letters\n"
    assert sorted(audited(project)) == [("message_dropped", "a test")] * 2 + [("message_redriven", "")]


def pushed(app: App, message: Message) -> dict[str, int]:
    """Hand a message to the function `fills` as it is pushed, and return what it counted."""
    body = {
        "message": {
            "data": base64.b64encode(message.data).decode(),
            "messageId": message.message_id,
            "publishTime": datetime.now(UTC).isoformat(),
            "attributes": message.attributes,
        }
    }
    return dict(handle(app, "fills", parse_envelope(json.dumps(body).encode(), {})))


def test_a_fill_that_is_redriven_twice_is_booked_once(
    project: Stack, cli: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F27: the command dies after it has published, before the letter is off the list; the next one does it again."""
    app = app_of(project, monkeypatch)
    create_accounts(app, 1)
    [fill, other] = make_fills(random.Random(1), datetime.now(UTC) - timedelta(hours=1), 2, 1)
    for body in (fill, other):
        project.publish("fills-dead", body, {"CloudPubSubDeadLetterSourceDeliveryCount": "5"})
    with monkeypatch.context() as patch:

        def dies(_box: DeadLetters, _letters: object) -> None:
            raise Unavailable("no answer")

        patch.setattr(DeadLetters, "remove", dies)
        assert run(cli, "dead-letters", "redrive", "fills", "--all").exit_code != 0
    assert run(cli, "dead-letters", "redrive", "fills", "--all").output == "2 redriven, 0 left\n"
    came = project.pull("fills-push", 3)
    assert len(came) == 3, "one of them twice"
    counts = [pushed(app, message) for message in came]
    assert (sum(c["applied"] for c in counts), sum(c["duplicate"] for c in counts)) == (2, 1)
    check_books(app, [fill, other])
    check_digests(app, [fill, other])
    letters = {
        row["event_id"]
        for message in project.pull("history-push", 100, 1)
        for row in message.json()["rows"]
        if row["row"].get("event") == "message_redriven"
    }
    assert len(letters) >= 2, "each is on record, once a minute at most"


def test_an_unknown_id_and_a_missing_choice_change_nothing(project: Stack, cli: CliRunner) -> None:
    """R8.5: the command says what to do instead."""
    project.publish("prices-dead", b"{}")
    assert run(cli, "dead-letters", "redrive", "prices", "4711").exit_code == 1
    assert run(cli, "dead-letters", "redrive", "prices").exit_code == 2
    assert len(json.loads(run(cli, "dead-letters", "list", "--json").output)) == 1


def test_a_refused_message_comes_back_once_its_cause_is_mended(project: Stack, cli: CliRunner) -> None:
    """B48: a fill for an account that did not exist yet is not lost; it is redriven, once."""
    app = App(Ports(FirestoreStore(project.project), PubSubBus(project.project), SystemClock()))
    app.quarantine.keep(
        "fills", "m1", b'{"a": 1}', Rejected("UNKNOWN_ACCOUNT", "no such account"), 0, {"dialect": "fix"}
    )
    app.quarantine.keep("fills", "m2", b'{"a": 2}', Rejected("BAD_MESSAGE", "nonsense"))
    by_text = {m["detail"]: m["id"] for m in json.loads(run(cli, "quarantine", "list", "--json").output)}
    assert "redriven" in run(cli, "quarantine", "redrive", by_text["no such account"]).output
    assert [(m.json(), m.attributes) for m in project.pull("fills-push", 1)] == [
        ({"a": 1}, {"dialect": "fix"})
    ]
    assert run(cli, "quarantine", "redrive", by_text["no such account"]).exit_code == 2
    assert "dropped" in run(cli, "quarantine", "drop", by_text["nonsense"], "--reason", "nonsense").output
    states = {m["detail"]: m["status"] for m in json.loads(run(cli, "quarantine", "list", "--json").output)}
    assert states == {"no such account": "redriven", "nonsense": "dropped"}
    assert sorted(audited(project)) == [("message_dropped", "nonsense"), ("message_redriven", "")]
