"""Functions on the emulators while a monkey kills, freezes, stops and restarts what they run on.

`make chaos` sends 100,000 fills (`STOPLINE_CHAOS`) of 500 accounts, in rounds on fresh emulators, because Google's reads
every fill of all accounts for each that is late; `make test` sends less than a hundred. Beside them go prices, the
scheduler's sweeps, and alerts of which each must reach a person. Every function fails before and after its commits and its
publishing. One message in ten goes through the Pub/Sub emulator, which pushes a few at a time; the others are posted as
it would, by a courier, one in twenty so that it outlives its deadline. The Firestore emulator keeps its documents in
memory, so it is frozen and not restarted; the Pub/Sub emulator loses its messages when it is restarted, so that comes
last, and the broker publishes again what went through it, as brokers do. `STOPLINE_CHAOS_S` ends the publishing of a
round, Ctrl-C or SIGTERM that of the last one: the rest is delivered and everything is checked over what was published.
"""

from __future__ import annotations

import json
import os
import random
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import pytest
from chaos.day import Day, told_when_stopped
from chaos.market import Market, Pace
from e2e.at_rest import check_chains, check_digests, check_outboxes, waiting
from e2e.storm import (
    Raw,
    account_name,
    app_of,
    check_books,
    create_accounts,
    in_lanes,
    in_messages,
    make_fills,
    naive_fold,
)

from emulators import google
from emulators.fakes import DiscordFake
from emulators.stack import Stack
from emulators.topology import Topology
from stopline.runtime.app import App
from stopline.service.alerting.records import SETTLED, AlertStatus

ALL = int(os.environ.get("STOPLINE_CHAOS", "70"))
ROUNDS = -(-ALL // 15_000)
SENT = -(-ALL // ROUNDS)  # in a round
LONG = SENT > 2000
DUPLICATES = 0.3
ACCOUNTS = 500 if LONG else 5  # each late fill folds its position again: a long run is about more than that
# Of them too small for what they trade: limits, breakers, closings, and their alerts.
LOUD = 20 if LONG else 1
SIZES = (1, 2, 8, 25) if LONG else (1, 1, 2)
BY_PUBSUB = 0.1  # of the messages
LATE = 0.05  # of the courier's messages outlive their deadline
MUCH_TOO_LATE = 0.005  # of the messages of a long run come behind newer fills of their account
WORKERS = 2  # instances of each function, in one server
BETWEEN = 60 if LONG else 4  # messages acknowledged from one harm to the next
AFTER = 1000 if LONG else 14  # fills around the restart
PACE = Pace(prices=5, sweeps=60, alerts=3) if LONG else Pace(prices=4, sweeps=6, alerts=0.3)
OLDEST = (
    timedelta(seconds=30 + 3 * 60) if LONG else timedelta(seconds=3 + 4 * 6)
)  # outbox: its age and some sweeps
PATIENCE = 900 if LONG else 200  # seconds for what must come to rest
FUNCTIONS = ("fills", "alerts", "prices", "sweep")
DECK = (
    *(f"kill {name}" for name in FUNCTIONS),
    *("freeze firestore", "freeze pubsub", "stop fills", "fail discord"),
    *((*(f"freeze {name}" for name in FUNCTIONS), "kill fills") if LONG else ()),
    *(("stop alerts", "stop prices", "stop sweep") if LONG else ()),
)
FAULTY = Path(__file__).parents[1] / "e2e" / "faulty" / "main.py"
PHONE = {"discord": ["https://discord.com/api/webhooks/1000000000000000001/test-webhook-token"]}
STOPPED = threading.Event()  # by hand: no more rounds
pytestmark = pytest.mark.timeout(300 + SENT / 4)


def topology() -> Topology:
    """Fills in several lanes with the least deadline that Pub/Sub allows, and a copy of what goes to people."""
    lanes = in_lanes(ack_seconds=10)
    copy = replace(lanes.subscriptions["alerts-push"], function=None)
    return replace(lanes, subscriptions={**lanes.subscriptions, "alerts-copy": copy})


@pytest.fixture
def shaken(discord: DiscordFake) -> Iterator[Stack]:
    """A stack on emulators of its own, whose functions fail and are sometimes far too late."""
    needed = google.missing()
    if needed:
        pytest.skip(" ".join(needed))
    if not Path("/proc/self/task").exists():
        pytest.skip("workers are found in /proc, which this system does not have")
    settings = {
        "STOPLINE_DISCORD_URL": discord.url,
        "STOPLINE_OPERATOR": json.dumps(PHONE),
        "STOPLINE_LOG_LEVEL": "WARNING",
        "WORKERS": str(WORKERS),
        "FAULT_RATE": os.environ.get(
            "FAULT_RATE", "0.03" if LONG else "0.05"
        ),  # before each effect, and after
        "HASTE": "" if LONG else "1",
    }
    with Stack(topology=topology()) as stack:
        yield stack.up(
            functions=dict.fromkeys(FUNCTIONS, FAULTY), bigquery=False, attempts=100, settings=settings
        )


class Heard:
    """The alerts of a fake Discord: which words and which accounts people have read of."""

    def __init__(self, discord: DiscordFake) -> None:
        self._discord = discord
        self._read = 0
        self.text = ""

    def read(self) -> str:
        """Return all that was taken so far."""
        received = self._discord.received
        new = [json.dumps(one.form) for one in received[self._read :] if one.accepted]
        self._read = len(received)
        self.text += "\n".join(["", *new])
        return self.text

    def lacks(self, alerts: list[str]) -> set[str]:
        """Return the alerts of which nobody has heard."""
        return set(alerts) - set(re.findall(r"watch number \d{6}", self.read()))


@pytest.mark.parametrize("number", range(ROUNDS))
def test_nothing_is_lost_whatever_dies(
    shaken: Stack, discord: DiscordFake, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """F01-F16: errors before and after each effect, deliveries past their deadline, kill -9, SIGTERM, freezes, restarts."""
    if STOPPED.is_set():
        pytest.skip("stopped by hand")
    rng = random.Random(5 + number)
    app = app_of(shaken, monkeypatch)
    calm = [account_name(number) for number in range(ACCOUNTS - LOUD)]
    facts = {
        "calendar": "24/7",
        "price_max_age_s": 86_400,
        "recipients": PHONE,
        "risk_interval_s": 60 if LONG else 2,
    }
    create_accounts(app, len(calm), capital="1000000000000", **facts)
    create_accounts(app, LOUD, first=len(calm), capital="1000", **facts)
    distinct = int(SENT / (1 + DUPLICATES))
    day_of = make_fills(rng, datetime.now(UTC) - timedelta(hours=2), distinct + AFTER, ACCOUNTS)
    fills, late = day_of[:distinct], day_of[distinct:]
    sent = messages_of(rng, fills, rng.sample(fills, SENT - distinct))
    rest = messages_of(rng, late, [])
    market = Market(shaken, PACE, calm)
    day, heard = Day(shaken, discord, rng, market, LATE, STOPPED), Heard(discord)
    with told_when_stopped(day):
        with day.harm(DECK, BETWEEN, 7 + number) as monkey:
            day.publish(sent, BY_PUBSUB)
            day.wait_for("everything has become something", day.is_drained, PATIENCE)
        booked, is_whole = day.distinct(), len(day.published) == SENT
        counts, dead = day.counts(), day.dead()
        print(day.equation())
        assert (counts["fills"], counts["quarantine"], dead) == (len(booked), 0, 0), day.equation()
        assert counts["duplicates"] == len(day.published) - len(booked), day.equation()
        assert not is_whole or set(monkey.done) == set(DECK), f"not done: {set(DECK) - set(monkey.done)}"
        check_effects(day, app, heard, booked)

        again = len(day.published)
        day.publish(rest, 0.8, all_of_them=True)
        shaken.restart_pubsub()  # with most of that in it
        with day.harm(("kill fills", "freeze firestore"), BETWEEN, 8 + number):
            day.publish(rest, BY_PUBSUB, all_of_them=True)
            booked += late
            day.wait_for("the rest is booked", lambda: day.counts()["fills"] == len(booked), PATIENCE)
            day.wait_for("the rest is delivered", lambda: not day.courier.left, PATIENCE)
        print(f"after the restart, {len(day.published) - again} fills later: {dict(day.counts())}")
        market.stop()
        check_rest(day, app, booked)


def messages_of(rng: random.Random, fills: list[Raw], again: list[Raw]) -> list[Raw]:
    """Put fills, and some of them again, into messages of one account each. A short run has them in any order. A long one
    has them as brokers do: by time, those that come again somewhat later, and a few messages much too late. The
    emulator reads every fill of all accounts for each that is late, so that 100,000 in any order would take hours.
    """
    when = {fill["fill_id"]: number / len(fills) for number, fill in enumerate(fills)}
    first = [(when[fill["fill_id"]], fill) for fill in fills]
    twice = [(when[fill["fill_id"]] + rng.uniform(0, 0.1), fill) for fill in again]
    ordered = [fill for _, fill in sorted([*first, *twice], key=lambda item: item[0])]
    messages = in_messages(ordered, rng, SIZES)
    if not LONG:
        return messages

    def due(message: Raw) -> float:
        newest = max(when[fill["fill_id"]] for fill in message.get("fills", [message]))
        return newest + (rng.uniform(0, 0.2) if rng.random() < MUCH_TOO_LATE else 0.0)

    return sorted(messages, key=due)


def check_effects(day: Day, app: App, heard: Heard, booked: list[Raw]) -> None:
    """What had to follow has followed, while the functions still fail now and then: rows, alerts, messages to people."""
    day.market.quiet()
    copies, alerts = day.copies, day.market.alerts
    day.wait_for("every fill's row went out", lambda: not copies.effects.missing(booked), PATIENCE)
    day.wait_for("every alert was told", lambda: not heard.lacks(alerts), PATIENCE)
    loud = exposed(booked)
    day.wait_for(
        "every account over its limits was told", lambda: all(name in heard.read() for name in loud), PATIENCE
    )
    day.wait_for("every alert is on record", lambda: not unknown(day, app), PATIENCE)
    under_way = unsettled(app)  # accounts over their limits raise new ones all the time
    day.wait_for("every message is settled", lambda: not under_way & unsettled(app), PATIENCE)
    day.wait_for("no outbox is old", lambda: not waiting(app, OLDEST), PATIENCE)
    copies.effects.check(booked)
    assert loud or len(booked) < 20 * ACCOUNTS, "no account is too small for what it holds"
    print(
        f"{len(alerts)} alerts told, {len(copies.alerts)} on the topic; {len(loud)} accounts over their limits"
    )


def check_rest(day: Day, app: App, booked: list[Raw]) -> None:
    """Nothing is under way, and the documents say what was published."""
    # not looked at once more: a sweep that was held up writes on
    day.wait_for("the last outboxes are empty", lambda: not unflushed(app), PATIENCE)
    rows = check_chains(app)
    assert rows > ACCOUNTS or not LONG, "no breaker has left a row beside those of the accounts' opening"
    check_books(app, booked)
    check_digests(app, booked)
    assert day.counts()["quarantine"] == 0
    print(f"{rows} rows of audit chains whole; {ACCOUNTS} books and their digests are those of the fills")


def unknown(day: Day, app: App) -> set[str]:
    """Return the ids of published alerts that neither an account's document nor the history knows."""
    known = set(day.copies.recorded)
    for document in app.store.query("incidents"):
        for standing in json.loads(document.data["state"])["standing"].values():
            known |= set(standing["seen"])
    return day.copies.alerts.keys() - known


def unsettled(app: App) -> set[str]:
    """Return the messages to people that are still under way, or reached nobody."""
    told = {status.value for status in SETTLED} - {AlertStatus.UNDELIVERED.value}
    left = {str(d.path) for d in app.store.query("alerts") if d.data["status"] not in told}
    print(f"{len(left)} messages to people are under way: {', '.join(sorted(left)[:3])}", flush=True)
    return left


def unflushed(app: App) -> bool:
    """Empty the outboxes as the sweep does; return whether something is left: what is under way may have put it in."""
    try:
        check_outboxes(app)
    except AssertionError:
        return True
    return False


def exposed(booked: list[Raw]) -> list[str]:
    """Return the loud accounts whose positions, at half their prices, are worth more than their capital."""
    worth: dict[str, Fraction] = {}
    for (account, symbol), (quantity, _, _) in naive_fold(booked).items():
        factor = {"ESZ6": 50, "SPXW991231P02600000": 0}.get(symbol, 1)
        worth[account] = worth.get(account, Fraction(0)) + abs(quantity) * factor * 50
    loud = {account_name(number) for number in range(ACCOUNTS - LOUD, ACCOUNTS)}
    return sorted(name for name, value in worth.items() if name in loud and value > 2000)
