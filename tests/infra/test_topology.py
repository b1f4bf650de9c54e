"""The topology holds together: every message has a reader and a dead letter, and nothing expires."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from emulators import bootstrap
from emulators.topology import TOPOLOGY as FILE
from emulators.topology import load, own_filter

TOPOLOGY = load()
FUNCTIONS = sorted(TOPOLOGY.functions)
SUBSCRIPTIONS = sorted(TOPOLOGY.subscriptions)
TOPICS = sorted(TOPOLOGY.topics)


def test_entry_points_and_folders_are_unique() -> None:
    """functions-framework keys its registry by the entry point's name, so two of one name hide each other."""
    functions = TOPOLOGY.functions.values()
    assert len({function.entry_point for function in functions}) == len(functions)
    assert len({function.folder for function in functions}) == len(functions)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_lives_in_the_folder_of_its_name_and_publishes_to_known_topics(name: str) -> None:
    function = TOPOLOGY.functions[name]
    assert function.folder == f"functions/{name}"
    assert set(function.publishes) <= set(TOPOLOGY.topics)
    assert set(function.uses) <= {"firestore", "bigquery", "channels"}
    assert 0 <= function.min_instances <= function.max_instances


@pytest.mark.parametrize("name", FUNCTIONS)
def test_only_push_functions_are_pushed_to(name: str) -> None:
    """F29."""
    pushed = [entry for entry in TOPOLOGY.subscriptions.values() if entry.function == name]
    assert len(pushed) == (1 if TOPOLOGY.functions[name].kind == "push" else 0)


@pytest.mark.parametrize("name", TOPICS)
def test_every_topic_has_a_reader_and_a_dead_letter_of_its_own(name: str) -> None:
    """F26."""
    assert [entry for entry in TOPOLOGY.subscriptions.values() if entry.topic == name]
    dead = TOPOLOGY.dead_letters
    assert dead.topic(name) not in TOPOLOGY.topics
    assert dead.subscription(name) not in TOPOLOGY.subscriptions
    assert dead.telling(name) not in TOPOLOGY.subscriptions


class _Told:
    """Stands in for the emulator: writes down what it is asked to create."""

    def __init__(self) -> None:
        self.put: dict[str, dict[str, Any]] = {}

    def call(self, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        assert (method, path in self.put) == ("PUT", False)
        self.put[path] = body
        return {}


@pytest.mark.parametrize("name", TOPICS)
def test_the_dead_letter_of_every_topic_is_created_and_kept_by_a_subscription(name: str) -> None:
    """F26: a dead-letter topic that nobody is subscribed to loses what it takes."""
    told = _Told()
    bootstrap.pubsub(told, "p", TOPOLOGY, {})  # type: ignore[arg-type]
    assert f"/v1/projects/p/topics/{name}-dead" in told.put
    kept = told.put[f"/v1/projects/p/subscriptions/{name}-dead-pull"]
    assert kept["topic"] == f"projects/p/topics/{name}-dead"
    assert kept["expirationPolicy"] == {}
    assert "pushConfig" not in kept
    for entry in SUBSCRIPTIONS:
        if TOPOLOGY.subscriptions[entry].topic == name:
            policy = told.put[f"/v1/projects/p/subscriptions/{entry}"]["deadLetterPolicy"]
            assert policy["deadLetterTopic"] == f"projects/p/topics/{name}-dead"


@pytest.mark.parametrize("name", SUBSCRIPTIONS)
def test_a_subscription_is_within_the_limits_of_pubsub(name: str) -> None:
    """F28, F29: a subscription that nobody used for 31 days is deleted unless it never expires: R0.3."""
    entry = TOPOLOGY.subscriptions[name]
    assert entry.topic in TOPOLOGY.topics
    assert entry.function is None or entry.function in TOPOLOGY.functions
    assert entry.expiration == "never"
    assert 10 <= entry.ack_seconds <= 600
    assert 5 <= entry.attempts <= 100
    assert 10 <= entry.retry_min_seconds <= entry.retry_max_seconds <= 600
    assert 7 <= entry.retention_days <= 31
    assert len(name) >= 3


def test_dead_letters_outlive_what_they_were_sent_from_and_never_expire() -> None:
    """F26, F28."""
    dead = TOPOLOGY.dead_letters
    assert dead.expiration == "never"
    assert TOPOLOGY.functions[dead.told_by].kind == "push"
    assert "channels" in TOPOLOGY.functions[dead.told_by].uses
    assert dead.retention_days >= max(entry.retention_days for entry in TOPOLOGY.subscriptions.values())


@pytest.mark.parametrize("name", [name for name in SUBSCRIPTIONS if TOPOLOGY.subscriptions[name].function])
def test_a_message_is_not_delivered_again_while_its_handler_may_still_run(name: str) -> None:
    """A handler slower than the acknowledgement deadline runs beside itself: keep well above its budget."""
    entry = TOPOLOGY.subscriptions[name]
    assert entry.function is not None
    assert entry.ack_seconds >= 3 * TOPOLOGY.functions[entry.function].timeout_seconds


def test_documents_are_written_by_functions_that_may_use_firestore() -> None:
    for collection in TOPOLOGY.collections.values():
        for writer in collection.writers:
            assert "firestore" in TOPOLOGY.functions[writer].uses
    indexed = {index.collection for index in TOPOLOGY.indexes} | {entry.collection for entry in TOPOLOGY.ttl}
    assert indexed <= set(TOPOLOGY.collections)


def test_the_five_scheduled_sweeps_are_told_apart_by_their_kind() -> None:
    kinds = [schedule.message["kind"] for schedule in TOPOLOGY.schedules.values()]
    assert sorted(kinds) == ["end_of_day", "reconcile", "risk", "session_close", "session_open"]
    assert {schedule.message["type"] for schedule in TOPOLOGY.schedules.values()} == {"stopline.sweep.v1"}


def test_nothing_that_decides_is_deleted_by_time() -> None:
    """F51: the database deletes late, early or never what has expired, so only records and what can be made again may."""
    assert {entry.collection for entry in TOPOLOGY.ttl} <= {"alerts", "factors"}


def with_adapters(folder: Path, **accounts: str | None) -> dict[str, str]:
    """Return the subscriptions of the topic `orders` with their filters, for adapters by name."""
    raw = json.loads(FILE.read_text("utf-8"))
    raw["adapters"]["accounts"] = accounts
    changed = folder / "topology.json"
    changed.write_text(json.dumps(raw), "utf-8")
    found = load(changed).subscriptions.items()
    return {name: entry.filter for name, entry in found if entry.topic == "orders"}


def test_each_adapter_has_a_subscription_of_its_own_for_its_account_and_the_whole(tmp_path: Path) -> None:
    """F44: of two that share one, each would get some of the other's commands."""
    assert with_adapters(tmp_path, alpaca="demo", ibkr="main") == {
        "orders-alpaca": 'attributes.account = "demo" OR NOT attributes:account',
        "orders-ibkr": 'attributes.account = "main" OR NOT attributes:account',
    }


def test_who_gets_every_account_is_alone() -> None:
    """F44: one that is not filtered gets everybody's commands, and so does its adapter."""
    filters = [entry.filter for entry in TOPOLOGY.subscriptions.values() if entry.topic == "orders"]
    assert all(filters) or len(filters) == 1


def test_a_desk_of_one_adapter_is_told_everything(tmp_path: Path) -> None:
    assert with_adapters(tmp_path, broker=None) == {"orders-broker": ""}
    entry = TOPOLOGY.subscriptions["orders-broker"]
    assert (entry.filter, entry.function, entry.ordered) == ("", None, True)


class Calls:
    """Takes what the bootstrap asks Pub/Sub for."""

    def __init__(self) -> None:
        self.made: dict[str, Any] = {}

    def call(self, method: str, path: str, body: object = None, seconds: float = 0) -> dict[str, Any]:
        self.made[path.rpartition("/")[2]] = body
        return {}


def test_the_filter_of_an_adapter_is_what_pubsub_is_asked_for() -> None:
    """F44; the emulator hands out everything all the same."""
    shape = replace(TOPOLOGY.subscriptions["orders-broker"], filter=own_filter("demo"))
    calls = Calls()
    bootstrap.pubsub(calls, "p", replace(TOPOLOGY, subscriptions={"orders-one": shape}), {})  # type: ignore[arg-type]
    assert calls.made["orders-one"]["filter"] == 'attributes.account = "demo" OR NOT attributes:account'
    bootstrap.pubsub(calls, "p", TOPOLOGY, {})  # type: ignore[arg-type]
    assert "filter" not in calls.made["orders-broker"]
