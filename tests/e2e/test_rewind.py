"""Delivering again what was acknowledged, after the database has lost it."""

import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner
from e2e.storm import app_of, check_books, create_accounts, make_fills

from emulators.stack import Emulators, Stack
from stopline.adapters.dead_letters import connect
from stopline.cli.main import main
from stopline.model.wire import canonical
from stopline.ports import Delete, Path
from stopline.runtime.app import App


@pytest.fixture(scope="module")
def booked(emulators: Emulators) -> Iterator[Stack]:
    with Stack(emulators=emulators) as stack:
        yield stack.up(functions=("fills",), bigquery=False)


def eventually(app: App, count: int) -> None:
    deadline = time.monotonic() + 60
    while len(app.store.query("fills")) < count:
        assert time.monotonic() < deadline, "not all fills are booked"
        time.sleep(0.2)


def test_a_restored_database_is_filled_up_by_a_rewind(booked: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """F04, F54, R8.5: half of the fills and their books are gone; the rewind books exactly those again, on record."""
    app = app_of(booked, monkeypatch)
    create_accounts(app, 2)
    started = datetime.now(UTC) - timedelta(seconds=5)
    fills = make_fills(random.Random(3), started - timedelta(hours=1), 30, 2)
    for fill in fills:
        booked.publish("fills", canonical(fill))
    eventually(app, len(fills))
    gone = [d.path for d in app.store.query("fills") if d.data["account"] == "acc-00"]
    app.store.commit([Delete(path) for path in [*gone, Path("books", "acc-00")]])
    assert 0 < len(gone) < len(fills)

    result = CliRunner().invoke(
        main, ["rewind", "fills", "--since", started.isoformat(), "--reason", "restored to 10:00"]
    )
    assert result.exit_code == 0, result.output
    eventually(app, len(fills))
    check_books(app, fills)
    rows = [row["row"] for m in booked.pull("history-push", 1000, 3) for row in m.json()["rows"]]
    audited = [(row["event"], row["reason"]) for row in rows if row.get("event") == "topic_rewound"]
    assert audited == [("topic_rewound", "restored to 10:00")]


def test_what_is_not_delivered_yet_is_not_given_up(project: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """F54, I3: a seek acknowledges whatever is older than its moment, so the rewind goes back to the oldest of it."""
    for name, value in project.env.items():
        monkeypatch.setenv(name, value)
    project.publish("fills", b'{"n": "waits"}')
    time.sleep(1)
    since = datetime.now(UTC)
    time.sleep(0.5)
    project.publish("fills", b'{"n": "after"}')
    result = CliRunner().invoke(main, ["rewind", "fills", "--since", since.isoformat(), "--reason", "a test"])
    assert result.exit_code == 0, result.output
    assert "not delivered yet" in result.output
    assert sorted(m.json()["n"] for m in project.pull("fills-push", 2)) == ["after", "waits"]
    assert list(connect().list_snapshots(project=f"projects/{project.project}")) == []


@pytest.mark.parametrize("since", ["yesterday", "2020-01-01T00:00:00Z", "2199-01-01T00:00:00Z"])
def test_a_moment_that_nothing_is_kept_of_is_refused(
    booked: Stack, monkeypatch: pytest.MonkeyPatch, since: str
) -> None:
    """R8.5: too old, in the future, or no time at all."""
    app_of(booked, monkeypatch)
    result = CliRunner().invoke(main, ["rewind", "fills", "--since", since, "--reason", "x"])
    assert result.exit_code == 2
