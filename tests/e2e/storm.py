"""A storm of fills through the emulators, and what must be true when it is over. No test by itself."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest

from emulators.stack import Message, Stack
from emulators.topology import Topology, load
from stopline.ledger.encoding import decode_book
from stopline.model.account import Account
from stopline.model.ids import document_id
from stopline.model.wire import canonical, validate
from stopline.runtime.app import App
from stopline.runtime.ports import Ports

Raw = dict[str, Any]
LANES = 8


def in_lanes(**changes: Any) -> Topology:
    """The topology with topic `fills` and its subscription several times over, all pushed to the one function: the emulator
    has at most two messages of a subscription under way, and waits for about a second after each that failed.
    """
    topology = load()
    fills = replace(topology.subscriptions["fills-push"], **changes)
    lanes = [f"fills-{number}" for number in range(LANES)]
    return replace(
        topology,
        topics={**topology.topics, **dict.fromkeys(lanes, topology.topics["fills"])},
        subscriptions={
            **topology.subscriptions,
            **{f"{lane}-push": replace(fills, topic=lane) for lane in lanes},
        },
    )


def make_fills(
    rng: random.Random, start: datetime, count: int, accounts: int, step: timedelta | None = None
) -> list[Raw]:
    """Fills of several kinds of contract, three at the very same moment, then `step` on; None: an hour holds them all."""
    contracts = [
        {"symbol": "AAPL", "kind": "equity", "currency": "USD"},
        {"symbol": "BTC-USD", "kind": "crypto", "currency": "USD"},
        {"symbol": "ESZ6", "kind": "future", "currency": "USD", "multiplier": "50", "underlying": "ES"},
        {
            "symbol": "SPXW991231P02600000", "kind": "option", "currency": "USD", "multiplier": "100",
            "underlying": "SPX", "expiry": "2099-12-31", "strike": "2600", "right": "P",
        },
    ]  # fmt: skip
    step = step or min(timedelta(seconds=1), timedelta(hours=1) / (count // 3 + 1))  # all of them in the past
    fills = []
    for number in range(count):
        contract = rng.choice(contracts)
        quantity = (
            f"0.{rng.randint(1, 99999999):08d}" if contract["kind"] == "crypto" else str(rng.randint(1, 9))
        )
        fills.append(
            {
                "type": "stopline.fill.v1",
                "fill_id": f"E{number}",
                "broker": "paper",
                "account": account_name(rng.randrange(accounts)),
                "instrument": contract,
                "side": rng.choice(["BUY", "SELL"]),
                "quantity": quantity,
                "price": f"{rng.randint(9000, 11000) / 100:.2f}",
                "fee": f"0.{rng.randint(0, 99):02d}",
                "executed_at": (start + step * (number // 3)).isoformat(),
            }
        )
    return fills


def naive_fold(fills: list[Raw]) -> dict[tuple[str, str], tuple[Fraction, Fraction, Fraction]]:
    """An independent first-in-first-out: (account, symbol) -> (quantity, realised gross, fees)."""
    result = {}
    groups = defaultdict(list)
    for fill in fills:
        groups[fill["account"], fill["instrument"]["symbol"]].append(fill)
    for key, group in groups.items():
        group.sort(key=lambda f: (f["executed_at"], document_id(f["broker"], f["account"], f["fill_id"])))
        units: list[list[Fraction]] = []  # [signed quantity, price]
        realised = fees = Fraction(0)
        for fill in group:
            sign = 1 if fill["side"] == "BUY" else -1
            left, price = sign * Fraction(fill["quantity"]), Fraction(fill["price"])
            multiplier = Fraction(fill["instrument"].get("multiplier", "1"))
            fees += Fraction(fill["fee"])
            while left and units and (units[0][0] > 0) != (left > 0):
                part = min(abs(left), abs(units[0][0]))
                direction = 1 if units[0][0] > 0 else -1
                realised += part * direction * (price - units[0][1]) * multiplier
                units[0][0] -= part * direction
                left += part * direction
                if not units[0][0]:
                    units.pop(0)
            if left:
                units.append([left, price])
        result[key] = (sum((u[0] for u in units), Fraction(0)), realised, fees)
    return result


def app_of(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> App:
    for name, value in stack.env.items():
        monkeypatch.setenv(name, value)
    from stopline.adapters.clock import SystemClock
    from stopline.adapters.firestore import FirestoreStore
    from stopline.adapters.pubsub import PubSubBus

    patient = FirestoreStore(stack.project, timeout_s=60)  # the emulator's first answers take seconds
    return App(Ports(patient, PubSubBus(stack.project), SystemClock()))


def publish(
    stack: Stack, fills: Sequence[Raw], rng: random.Random, sizes: Sequence[int] = (1, 2, 8, 25)
) -> int:
    """Publish fills in any order and lane, each message a few of one account; return the number of messages."""
    messages = in_messages(fills, rng, sizes)
    for body in messages:
        publish_one(stack, body, rng)
    return len(messages)


def publish_one(stack: Stack, body: Raw, rng: random.Random) -> None:
    """Publish one message in any lane."""
    stack.publish(f"fills-{rng.randrange(LANES)}", canonical(body))


def in_messages(fills: Sequence[Raw], rng: random.Random, sizes: Sequence[int]) -> list[Raw]:
    """Put fills into messages, a few of one account each, in any order."""
    by_account = defaultdict(list)
    for fill in fills:
        by_account[fill["account"]].append(fill)
    messages: list[Raw] = []
    for waiting in by_account.values():
        while waiting:
            size = rng.choice(sizes)
            part, waiting = waiting[:size], waiting[size:]
            messages.append(part[0] if len(part) == 1 else {"type": "stopline.fills.v1", "fills": part})
    rng.shuffle(messages)
    return messages


def account_name(number: int) -> str:
    return f"acc-{number:02d}"


def create_accounts(app: App, count: int, first: int = 0, **settings: Any) -> None:
    for number in range(first, first + count):
        facts = {"account": account_name(number), "owner": "ann", "currency": "USD", "capital": "100000"}
        app.account_writer.create(validate(Account, {**facts, **settings}), "test")


class Counted:
    """Counts what became of fills, in the documents themselves."""

    def __init__(self, stack: Stack) -> None:
        from google.cloud import firestore

        self._client = firestore.Client(project=stack.project)

    def now(self) -> Counter[str]:
        names = ("fills", "duplicates", "quarantine")
        return Counter({n: int(self._client.collection(n).count().get()[0][0].value) for n in names})


def check_books(app: App, fills: list[Raw], old: bool = False) -> None:
    """Every position and total equals an independent fold of the distinct fills. `old`: they are of more than a week, after
    which a book forgets a position that is flat.
    """
    expected = naive_fold(fills)
    found = {}
    for document in app.store.query("books"):
        book = decode_book(document.data["state"])
        for position in book.positions.values():
            key = (book.account, position.instrument.symbol)
            found[key] = (Fraction(position.quantity), Fraction(position.realised), Fraction(position.fees))
        total = book.total("USD")
        assert Fraction(total.realised) == sum(v[1] for k, v in expected.items() if k[0] == book.account)
        assert sum(day.realised for day in book.days.values()) == total.realised
    assert found == {key: made for key, made in expected.items() if made[0] or key in found or not old}


class Effects:
    """The history rows of fills that went out: under which ids, with which content."""

    def __init__(self) -> None:
        self._ids: dict[str, set[str]] = defaultdict(set)
        self._rows: dict[str, set[bytes]] = defaultdict(set)

    def take(self, messages: Sequence[Message]) -> None:
        """Note what came out of topic `history`."""
        for message in messages:
            for row in message.json()["rows"]:
                if row["table"] == "fills":
                    self._ids[row["event_id"]].add(message.attributes["effect_id"])
                    self._rows[row["event_id"]].add(canonical(row["row"]))

    def missing(self, fills: list[Raw]) -> set[str]:
        """Return the fills of which nothing went out."""
        return {document_id(f["broker"], f["account"], f["fill_id"]) for f in fills} - self._ids.keys()

    def check(self, fills: list[Raw]) -> None:
        """Every fill's row went out, under one effect id and with one content."""
        missing = self.missing(fills)
        assert not missing, f"{len(missing)} fills' effects were lost, such as {min(missing)}"
        assert all(len(found) == 1 for found in self._ids.values()), "an effect went out under two ids"
        assert all(len(found) == 1 for found in self._rows.values())


def check_effects(stack: Stack, app: App, fills: list[Raw]) -> None:
    """Every fill's history row went out under one effect id; what was not proven is still in an outbox."""
    from stopline.ports import Where
    from stopline.service.documents.outbox import decode_outbox

    now = datetime.now(UTC)
    for document in app.store.query("books", [Where("outbox_at", "<=", now)], ["outbox_at"]):
        app.relay.publish(decode_outbox(document.data))  # what the sweep does
    effects = Effects()
    quiet = 0
    while quiet < 3:
        messages = stack.pull("history-push", count=1000, seconds=1)
        quiet = 0 if messages else quiet + 1
        effects.take(messages)
    effects.check(fills)
