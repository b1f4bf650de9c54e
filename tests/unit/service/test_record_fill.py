"""Booking fills: each once for ever, whatever is delivered how often, and its effects with it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from unittest.mock import patch

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stopline.ledger.trade_risk import UNKNOWN_RISK
from stopline.model.account import Account
from stopline.model.errors import Contended, Rejected, Transient
from stopline.model.fill import Fill
from stopline.model.instrument import Instrument
from stopline.model.wire import canonical
from stopline.ports import Conflict, Path, Put, Unavailable
from stopline.runtime.app import App
from stopline.runtime.envelope import Envelope
from stopline.runtime.handlers import handle
from stopline.service.documents.outbox import Unpublished
from stopline.service.fills import record_fill
from stopline.service.fills.bookable import MAX_AGE, MAX_AHEAD
from stopline.service.fills.books import BookFeed
from stopline.service.fills.outcome import Result

from ..make import BEGUN, NOON, account, at, equity, fill, fold, option, raw_fill, trade
from .world import FaultyStore, World

APPLIED, DUPLICATE, REFUSED = Result.APPLIED, Result.DUPLICATE, Result.REFUSED


def record(app: App, fills: Sequence[Fill], message: str = "m-1") -> list[Result]:
    return [outcome.result for outcome in app.recorder.record(fills, message)]


def reason(app: App, one: Fill) -> str:
    [outcome] = app.recorder.record([one], "m-x")
    assert outcome.result is REFUSED
    assert outcome.refused is not None
    return outcome.refused.reason


# --- once ---


def test_a_fill_is_booked_with_its_record(world: World) -> None:
    """R1.6, I2."""
    app, _ = world.instance()
    assert record(app, [fill()]) == [APPLIED]
    book = world.book()
    assert book is not None
    assert (book.fills, book.revision, book.positions["default:SPY"].quantity) == (1, BEGUN + 1, 10)
    stored = world.document("fills", "paper", "demo", "E-1")
    assert stored is not None
    assert stored["hash"] == fill().hash
    assert stored["message_id"] == "m-1"


@pytest.mark.parametrize("fresh", [False, True], ids=["same instance", "another instance"])
@pytest.mark.parametrize("message", ["m-1", "m-2"], ids=["redelivery", "publisher's retry"])
def test_a_fill_that_comes_again_changes_nothing(world: World, fresh: bool, message: str) -> None:
    """F01, F03, I2, domain cases 2 and 9."""
    app, _ = world.instance()
    record(app, [fill()])
    before = world.document("books", "demo")
    for _ in range(5):
        again, _ = world.instance() if fresh else (app, None)
        assert record(again, [fill()], message) == [DUPLICATE]
    assert world.document("books", "demo") == before
    assert world.count("duplicates") == (message == "m-2")


def test_contention_over_the_note_of_a_duplicate_is_no_unknown_error(world: World) -> None:
    """F14: Firestore refuses plain writes too when too many are under way; the message comes again."""
    app, store = world.instance()
    record(app, [fill()])
    store.faults = [store.raises(Conflict("too much contention"))]
    with pytest.raises(Transient):
        record(app, [fill()], "m-2")
    assert record(app, [fill()], "m-2") == [DUPLICATE]
    assert world.count("duplicates") == 1


def test_a_flip_that_comes_again_changes_nothing(world: World) -> None:
    """Domain case 2: it closed one leg and opened another, under one key."""
    app, _ = world.instance()
    flip = trade(2, -15, 90, fee="3")
    assert record(app, [trade(1, 10, 100), flip]) == [APPLIED, APPLIED]
    before = world.document("books", "demo")
    assert record(app, [flip], "m-2") == [DUPLICATE]
    assert world.document("books", "demo") == before
    book = world.book()
    assert book is not None
    assert (book.net_quantity("SPY"), book.total("USD").realised, book.total("USD").fees) == (-5, -100, 3)


def test_a_fill_that_comes_again_forty_days_later_is_still_a_duplicate(world: World) -> None:
    """F04."""
    app, _ = world.instance()
    record(app, [fill()])
    world.wait(40 * 86_400)
    assert record(world.instance()[0], [fill()], "m-2") == [DUPLICATE]


def test_the_same_content_in_other_words_is_a_duplicate(world: World) -> None:
    """B37."""
    app, _ = world.instance()
    record(app, [fill(quantity="1.0", price="100")])
    assert record(app, [fill(quantity="1.00", price="100.000", venue="x")], "m-2") == [DUPLICATE]


@pytest.mark.parametrize(
    "change", [{"quantity": "11"}, {"price": "101"}, {"side": "SELL"}, {"strategy": "trend"}], ids=str
)
@pytest.mark.parametrize("fresh", [False, True], ids=["same instance", "another instance"])
def test_the_same_id_with_other_content_is_refused_and_the_first_stands(
    world: World, change: dict[str, str], fresh: bool
) -> None:
    """B36."""
    app, _ = world.instance()
    record(app, [fill()])
    before = world.document("books", "demo")
    again = world.instance()[0] if fresh else app
    [outcome] = again.recorder.record([fill(**change)], "m-2")
    assert outcome.refused is not None
    assert outcome.refused.reason == "CONFLICTING_DUPLICATE"
    assert world.document("books", "demo") == before


def test_a_twin_in_one_message_is_a_duplicate_and_a_false_twin_is_refused(world: World) -> None:
    """B36, B37."""
    app, _ = world.instance()
    twins = [fill(), fill(note="again"), fill(price="101"), fill("E-2", executed_at=at(1))]
    assert record(app, twins) == [APPLIED, DUPLICATE, REFUSED, APPLIED]
    book = world.book()
    assert book is not None
    assert book.fills == 2
    assert record(world.instance()[0], twins) == [DUPLICATE, DUPLICATE, REFUSED, DUPLICATE]


def test_a_message_of_more_fills_than_a_commit_holds_is_booked_in_several(world: World) -> None:
    """tastytrade sends all fills of an order each time, Flex those of a day; the newest first."""
    app, store = world.instance()
    fills = [trade(n, 1 if n % 3 else -1, 100 + n % 7) for n in range(0, -450, -1)]
    store.commits = 0
    assert record(app, [*fills, fills[0]]) == [APPLIED] * 450 + [DUPLICATE]
    assert store.commits == 4, "three of fills, and the note of the twin"
    book = world.book()
    assert book is not None
    assert book.positions["default:SPY"] == fold(fills)[0]
    assert record(world.instance()[0], fills, "m-2") == [DUPLICATE] * 450
    assert len(world.shared.query("duplicates")) == 451


def test_a_message_of_which_one_commit_fails_comes_again_and_is_booked_to_its_end(world: World) -> None:
    """I1, I3, F13: it is not acknowledged, and what was booked of it stands."""
    app, store = world.instance()
    fills = [raw_fill(f"E-{n}", executed_at=at(-n)) for n in range(450)]
    delivery = Envelope(canonical({"type": "stopline.fills.v1", "fills": fills}), "m-1")
    store.faults = [None, store.lost]
    with pytest.raises(Transient):
        handle(app, "fills", delivery)
    book = world.book()
    assert book is not None
    assert book.fills == 200
    assert handle(app, "fills", delivery) == {"applied": 250, "duplicate": 200, "quarantined": 0}
    assert not world.shared.query("duplicates"), "a redelivery is no duplicate"


def test_a_part_of_a_large_message_that_is_refused_leaves_the_others_booked(world: World) -> None:
    app, _ = world.instance()
    other = Instrument.model_validate({**equity().model_dump(mode="json"), "multiplier": "10"})
    fills = [trade(n, 1, 100, instrument=equity() if n < -250 else other) for n in range(-450, 0)]
    assert record(app, fills) == [APPLIED] * 200 + [REFUSED] * 250


def test_the_same_id_at_another_broker_or_account_is_another_fill(world: World) -> None:
    """B38."""
    world.open_account(account("two", brokers=["paper", "ibkr"]))
    app, _ = world.instance()
    fills = [fill(), fill(account="two"), fill(account="two", broker="ibkr", executed_at=at(1))]
    assert record(app, fills) == [APPLIED] * 3
    assert world.count("fills") == 3


# --- refused ---

INVERSE = Instrument.model_validate(
    {"symbol": "BTCUSD_PERP", "kind": "future", "currency": "BTC", "multiplier": "100", "inverse": True}
)
COIN = Instrument.model_validate(
    {
        "symbol": "BTC-27NOV26-100000-C",
        "kind": "option",
        "currency": "BTC",
        "underlying": "BTC-USD",
        "expiry": "2026-11-27",
        "strike": "100000",
        "right": "C",
    }
)


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        (fill(account="nobody"), "UNKNOWN_ACCOUNT"),
        (fill(broker="kite"), "UNKNOWN_BROKER"),
        (fill(executed_at=NOON + MAX_AHEAD + timedelta(microseconds=1)), "IN_THE_FUTURE"),
        (fill(executed_at=NOON + timedelta(minutes=10)), "IN_THE_FUTURE"),
        (fill(executed_at=NOON - MAX_AGE - timedelta(microseconds=1)), "TOO_OLD"),
        (fill(executed_at=NOON - timedelta(days=60)), "TOO_OLD"),
        (fill(instrument=option(expiry=NOON.date() - timedelta(days=1))), "EXPIRED"),
        (fill(instrument=COIN), "PAID_IN_ITS_COIN"),
        (fill(instrument=COIN, kind="ASSIGN", price="0"), "PAID_IN_ITS_COIN"),
        (fill(kind="ADJUST", price="-1000"), "BAD_PRICE"),
        (fill(kind="ADJUST", price="0", instrument=INVERSE), "BAD_PRICE"),
        (fill(kind="ADJUST", price="-1", instrument=INVERSE), "BAD_PRICE"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_fill_that_cannot_be_is_refused_and_nothing_is_created(
    world: World, bad: Fill, expected: str
) -> None:
    """B34, B35, B48, B49: never booked, never an account made for it."""
    app, _ = world.instance()
    assert reason(app, bad) == expected
    assert (world.count("books"), world.count("fills"), world.count("accounts")) == (0, 0, 1)


def of_older_version(app: App, *fills: Fill) -> None:
    with patch.object(record_fill, "check_coin", lambda _group, _book: None):
        assert set(record(app, fills)) == {APPLIED}


def coin(id_: str, side: str, units: int, second: float, **more: str) -> Fill:
    return fill(id_, side, units, "0.05", at(second), instrument=COIN, **more)


def test_a_fill_that_closes_an_option_in_its_own_coin_is_booked_and_what_opens_or_adds_is_not(
    world: World,
) -> None:
    """R1.5: an older version opened it. Refused, its close left the book long of what is gone."""
    app, _ = world.instance()
    opened, closed = coin("E-1", "BUY", 3, 1), coin("E-2", "SELL", 2, 2)
    of_older_version(app, opened)
    assert record(app, [closed], "m-2") == [APPLIED]
    assert reason(app, coin("E-3", "BUY", 1, 3)) == "PAID_IN_ITS_COIN"
    assert reason(app, coin("E-4", "SELL", 2, 4)) == "PAID_IN_ITS_COIN", "one of them would open"
    assert record(app, [opened, closed], "m-3") == [DUPLICATE, DUPLICATE]
    last = [coin("E-6", "SELL", 1, 6), coin("E-5", "SELL", 1, 5), coin("E-7", "BUY", 1, 7)]
    assert record(app, last, "m-4") == [REFUSED, APPLIED, REFUSED]
    assert world.book().count_open() == 0  # type: ignore[union-attr]


def test_what_a_bust_brings_back_of_an_option_in_its_own_coin_can_be_closed_by_the_same_message(
    world: World,
) -> None:
    app, _ = world.instance()
    of_older_version(app, coin("E-1", "SELL", 2, 1), coin("E-2", "BUY", 2, 2))
    again = [coin("E-3", "BUY", 2, 2), coin("E-9", "BUY", 2, 9, kind="BUST", ref="E-2")]
    assert record(app, again, "m-2") == [APPLIED, APPLIED]
    assert world.book().count_open() == 0  # type: ignore[union-attr]


def test_an_option_on_a_pair_that_is_paid_in_its_first_money_is_booked(world: World) -> None:
    """R1.5: a currency is no coin. What it can lose stays UNKNOWN: its strike is in other money."""
    app, _ = world.instance()
    euro = COIN.model_copy(update={"symbol": "EURUSD-C", "currency": "EUR", "underlying": "EURUSD"})
    assert record(app, [fill(instrument=euro)]) == [APPLIED]
    [one] = world.book().trades()  # type: ignore[union-attr]
    assert one.risk(Decimal("1.1")) == UNKNOWN_RISK


def test_an_option_in_its_own_coin_that_an_older_version_booked_can_be_taken_out(world: World) -> None:
    """R1.5: what ends it is no fill that opens it; its risk is UNKNOWN until then."""
    app, _ = world.instance()
    of_older_version(app, fill(instrument=COIN))
    [one] = world.book().trades()  # type: ignore[union-attr]
    assert one.risk(Decimal(100_000)) == UNKNOWN_RISK
    assert record(app, [fill("B-1", quantity=0, price=0, instrument=COIN, kind="BUST", ref="E-1")]) == [
        APPLIED
    ]
    assert world.book().open_positions() == []  # type: ignore[union-attr]


@pytest.mark.parametrize("change", [{"quantity": "15"}, {"price": "100.03"}], ids=str)
def test_a_fill_off_the_known_tick_or_lot_is_refused_and_not_rounded(change: dict[str, str]) -> None:
    """B27."""
    world = World()
    world.open_account(account(increments={"equity:SPY": {"tick": "0.05", "lot": "10"}}))
    app, _ = world.instance()
    assert reason(app, fill(**change)) == "OFF_STEP"
    assert record(app, [fill()]) == [APPLIED]
    assert (world.count("books"), world.count("fills")) == (1, 1)


@pytest.mark.parametrize(
    "good",
    [
        fill(executed_at=NOON + MAX_AHEAD),
        fill(executed_at=NOON - MAX_AGE),
        fill(instrument=option(expiry=NOON.date())),  # on the day of its expiry
        fill("E-1", "SELL", 1, 0, instrument=option(expiry=NOON.date())),
        fill(kind="ADJUST", price="0"),
        fill(kind="ADJUST", price="0", quantity="0", instrument=INVERSE),
    ],
    ids=["a minute ahead", "45 days old", "expiry day", "worthless at expiry", "a spin-off", "no units"],
)
def test_a_fill_at_the_edge_is_booked(world: World, good: Fill) -> None:
    """B33-B35, B49, F35."""
    assert record(world.instance()[0], [good]) == [APPLIED]


def test_a_refused_fill_does_not_hold_up_its_neighbours(world: World) -> None:
    """B56, I3."""
    world.open_account(account("two"))
    app, _ = world.instance()
    fills = [
        fill("E-1"),
        fill("E-2", account="nobody"),
        fill("E-3", broker="kite"),
        fill("E-4", account="two"),
        fill("E-5", executed_at=at(1)),
    ]
    assert record(app, fills) == [APPLIED, REFUSED, REFUSED, APPLIED, APPLIED]


def test_a_bust_takes_its_fill_out_and_a_day_that_was_over_says_so(world: World) -> None:
    """R1.4, domain 3.8: in a message of its own, again, and before the fill that it is about."""
    app, _ = world.instance()
    yesterday = NOON - timedelta(days=1)
    pair = [
        fill("E-1", "BUY", 10, 100, yesterday),
        fill("E-2", "SELL", 10, 110, yesterday + timedelta(minutes=1)),
    ]
    bust = fill("B-1", kind="BUST", ref="E-2", executed_at=NOON - timedelta(minutes=5), strategy="unknown")
    assert record(app, pair) == [APPLIED, APPLIED]
    assert record(app, [bust], "m-2") == [APPLIED]
    assert record(app, [bust], "m-3") == [DUPLICATE]
    book = world.book()
    assert book is not None
    assert (book.fills, book.net_quantity("SPY"), book.total("USD").realised) == (3, 10, 0)
    rows = [row for body in world.bus.bodies("history") for row in body["rows"] if row["table"] == "audit"]
    restated = [row["row"] for row in rows if row["row"]["event"] == "day_restated"]
    assert len(restated) == 2  # yesterday came a day late, and then it was changed
    assert '"realised":"100"' in restated[0]["detail"]


def test_a_bust_before_its_fill_waits_for_it(world: World) -> None:
    """Domain case 3, by two instances."""
    one, _ = world.instance()
    other, _ = world.instance()
    assert record(one, [fill("B-1", kind="BUST", ref="E-1", executed_at=at(1))]) == [APPLIED]
    assert record(other, [fill("E-1")], "m-2") == [APPLIED]
    assert record(one, [fill("E-2", executed_at=at(2), quantity=3)], "m-3") == [APPLIED]
    book = world.book()
    assert book is not None
    assert (book.net_quantity("SPY"), dict(book.held)) == (3, {})


@pytest.mark.parametrize("broken", [False, True])
def test_a_closed_leg_of_an_open_trade_outlives_its_position(world: World, broken: bool) -> None:
    """I1, R1.1: a calendar whose front expired nine days ago; also from a document that an older version left
    without the leg's contract: the fill log has it.
    """
    front, back = option(7000, expiry=date(2026, 11, 19)), option(7000, expiry=date(2026, 12, 28))
    enter = [
        fill("E-1", "SELL", 1, 10, NOON, front, group_id="G"),
        fill("E-2", "BUY", 1, 20, NOON, back, group_id="G"),
    ]
    expiry = fill("E-3", "BUY", 1, 0, NOON + timedelta(days=1), front, kind="EXPIRE")
    record(world.instance()[0], enter)
    world.wait(2 * 86400)
    record(world.instance()[0], [expiry], "m-2")
    book = world.book()
    assert book is not None
    [before] = book.trades()
    world.wait(8 * 86400)
    record(world.instance()[0], [fill("E-4", executed_at=NOON + timedelta(days=10))], "m-3")
    book = world.book()
    assert book is not None
    assert front.symbol not in {position.instrument.symbol for position in book.positions.values()}
    if broken:
        stored = world.document("books", "demo")
        assert stored is not None
        state = orjson.loads(stored["state"])
        for name in ("instrument", "strategy", "lots"):
            del state["legs"][f"default:{front.symbol}"][0][name]
        world.shared.commit([Put(Path("books", "demo"), {**stored, "state": orjson.dumps(state).decode()})])
        feed = BookFeed(world.shared)
        feed.refresh()
        assert feed.books["demo"].trade(before.trade_id) == before
    record(world.instance()[0], [fill("E-5", executed_at=NOON + timedelta(days=10, seconds=1))], "m-4")
    book = world.book()
    assert book is not None
    assert book.trade(before.trade_id) == before
    assert (book.fills, len(before.legs), before.realised) == (5, 2, 1000)


def test_a_cancel_that_names_no_day_is_refused_where_two_days_have_its_number(world: World) -> None:
    """Domain 3.7: it is not guessed which; one that was booked before the second came is taken back, waits and is a
    duplicate after it.
    """
    days = [NOON - timedelta(days=1), NOON]
    one, two = (fill(f"SPY:{day:%Y%m%d}:1", executed_at=day, order_id="O") for day in days)
    told = {"kind": "BUST", "ref": two.fill_id, "ref_day": "assumed", "order_id": "O", "executed_at": at(5)}
    bust, late = fill("SPY:20261118:7", **told), fill("SPY:20261118:8", **told)
    app, _ = world.instance()
    assert record(app, [one], "m-1") == record(app, [bust], "m-2") == record(app, [two], "m-3") == [APPLIED]
    assert reason(app, late) == "AMBIGUOUS_REFERENCE"
    assert record(app, [bust], "m-4") == [DUPLICATE]
    named = fill("SPY:20261118:8", kind="BUST", ref=two.fill_id, order_id="O", executed_at=at(5))
    book = world.book()
    assert book is not None
    assert book.net_quantity("SPY") == 20
    assert [waiting.fill_id for held in book.held.values() for waiting in held] == [bust.fill_id]
    assert record(app, [named], "m-5") == [APPLIED]


def test_another_method_is_refused_once_fills_are_booked(world: World) -> None:
    """All realised P&L that was reported would change."""
    app, _ = world.instance()

    def lifo(account: Account) -> Account:
        return account.model_copy(update={"method": "lifo"})

    assert record(app, [fill()]) == [APPLIED]
    with pytest.raises(Rejected, match="METHOD_IN_USE"):
        app.account_writer.change("demo", lifo, "ann")


@pytest.mark.parametrize("kind", ["LIQUIDATION", "ASSIGN", "EXERCISE", "EXPIRE", "SETTLE"])
def test_what_a_broker_does_to_a_position_is_booked_like_a_trade(world: World, kind: str) -> None:
    """R1.7: an assignment is told on the morning after the expiry."""
    app, _ = world.instance()
    yesterday = option(expiry=NOON.date() - timedelta(days=1))
    contract = option() if kind == "LIQUIDATION" else yesterday
    assert record(app, [fill(kind=kind, price="0", instrument=contract)]) == [APPLIED]
    book = world.book()
    assert book is not None
    assert [p.quantity for p in book.positions.values()] == [10]


def test_a_contract_that_changed_is_refused_and_other_positions_of_the_message_are_booked(
    world: World,
) -> None:
    """R1.5."""
    app, _ = world.instance()
    record(app, [fill("E-1")])
    other = Instrument.model_validate({**equity().model_dump(mode="json"), "multiplier": "2"})
    outcomes = app.recorder.record(
        [fill("E-2", instrument=other, executed_at=at(1)), fill("E-3", instrument=equity("QQQ"))], "m-2"
    )
    assert [o.result for o in outcomes] == [REFUSED, APPLIED]
    assert outcomes[0].refused is not None
    assert outcomes[0].refused.reason == "CONTRACT_CHANGED"
    book = world.book()
    assert book is not None
    assert (book.fills, book.revision) == (2, BEGUN + 2)
    assert world.document("fills", "paper", "demo", "E-2") is None


# --- effects ---


def test_the_effects_are_committed_with_the_book_and_published_after_it(world: World) -> None:
    """I4, R1.6: rows for the history and a sweep of the account."""
    app, store = world.instance()
    published_at_commit: list[int] = []
    store.faults = [lambda _writes: published_at_commit.append(len(world.bus.messages))]
    record(app, [fill()])
    assert published_at_commit == [0]
    outbox = world.outbox("books", "demo")
    assert [effect.topic for effect in outbox] == ["history", "sweeps"]
    assert world.bus.ids() == [effect.id for effect in outbox]
    [sweep] = world.bus.bodies("sweeps")
    assert (sweep["kind"], sweep["account"]) == ("account", "demo")
    tables = [row["table"] for row in world.bus.bodies("history")[0]["rows"]]
    assert tables == ["fills", "positions"]


def test_a_failed_publish_is_not_acknowledged_and_the_next_delivery_publishes(world: World) -> None:
    """F08, F09, F17, I4."""
    app, _ = world.instance()
    world.bus.down = True
    with pytest.raises(Unpublished):
        record(app, [fill()])
    due = [effect.id for effect in world.outbox("books", "demo")]
    assert len(due) == 2
    world.bus.down = False
    assert record(world.instance()[0], [fill()]) == [DUPLICATE]
    assert world.bus.ids() == due


def test_an_effect_that_may_have_been_published_is_published_again_under_the_same_id(world: World) -> None:
    """F10, I5: at least once, and consumers act once an id."""
    app, _ = world.instance()
    world.bus.ambiguous = True
    with pytest.raises(Unpublished):
        record(app, [fill()])
    world.bus.ambiguous = False
    record(app, [fill()])
    first, second = world.bus.ids()[:2], world.bus.ids()[2:]
    assert first == second


def test_an_instance_does_not_publish_again_what_it_knows_to_be_published(world: World) -> None:
    app, _ = world.instance()
    record(app, [fill()])
    record(app, [fill()])
    assert len(world.bus.messages) == 2


def test_effects_that_were_never_published_stay_due_through_later_commits(world: World) -> None:
    """F09, I4: the toy model's lesson: a next commit must not drop what is not known to be published."""
    app, _ = world.instance()
    world.bus.down = True
    with pytest.raises(Unpublished):
        record(app, [fill("E-1")])
    since = world.document("books", "demo")
    world.wait(5)
    with pytest.raises(Unpublished):
        record(world.instance()[0], [fill("E-2", executed_at=at(1))], "m-2")
    assert len(world.outbox("books", "demo")) == 4
    now = world.document("books", "demo")
    assert since is not None
    assert now is not None
    assert now["outbox_at"] == since["outbox_at"] == NOON


# --- several writers, unknown outcomes ---


@pytest.mark.parametrize("known", [0, 2], ids=["no book yet", "both are warm"])
def test_one_message_that_two_instances_hold_at_once_is_booked_once(world: World, known: int) -> None:
    """F02, I2: both have found it unbooked; whoever commits second is refused, and finds what the other booked."""
    one, store = world.instance()
    other, _ = world.instance()
    for number in range(known):
        record((one, other)[number], [trade(number, 1, 100)], f"m-{number}")
    first: list[Result] = []
    store.faults = [lambda _writes: first.extend(record(other, [trade(7, 1, 100)], "m-7"))]
    assert record(one, [trade(7, 1, 100)], "m-7") == [DUPLICATE]
    assert first == [APPLIED]
    assert store.faults == [], "the second one had come to its commit"
    book = world.book()
    assert book is not None
    assert (book.fills, book.revision) == (known + 1, BEGUN + known + 1)
    assert book.positions["default:SPY"].quantity == known + 1
    assert world.count("duplicates") == 0, "a redelivery is no duplicate of the sender's"


def test_a_stale_cache_of_another_instance_never_loses_a_fill(world: World) -> None:
    """F02, F14, I2: both instances are warm, both believe their copy."""
    one, _ = world.instance()
    other, _ = world.instance()
    for number in range(6):
        app = (one, other)[number % 2]
        assert record(app, [trade(number, 1, 100)], f"m-{number}") == [APPLIED]
    book = world.book()
    assert book is not None
    assert (book.fills, book.revision, book.positions["default:SPY"].quantity) == (6, BEGUN + 6, 6)


def test_a_duplicate_seen_by_an_instance_with_a_stale_cache_is_a_duplicate(world: World) -> None:
    """F02: its copy of the book does not know the fill; the fill's record does."""
    one, _ = world.instance()
    other, _ = world.instance()
    record(one, [trade(1, 1, 100)])
    record(other, [trade(2, 1, 100)], "m-2")
    assert record(one, [trade(2, 1, 100)], "m-3") == [DUPLICATE]
    assert record(one, [trade(3, 1, 100)], "m-4") == [APPLIED]
    book = world.book()
    assert book is not None
    assert book.fills == 3


def test_a_warm_instance_needs_one_round_trip(world: World) -> None:
    """Design: the precondition proves the cache."""
    app, store = world.instance()
    record(app, [trade(1, 1, 100)])
    store.reads = store.commits = 0
    record(app, [trade(2, 1, 100)], "m-2")
    assert (store.reads, store.commits) == (0, 1)


@pytest.mark.parametrize("applied", [False, True], ids=["lost", "applied and lost"])
def test_a_commit_of_unknown_outcome_is_resolved_by_the_replay(world: World, applied: bool) -> None:
    """F11, F12, I1, I3."""
    app, store = world.instance()
    record(app, [trade(1, 1, 100)])
    store.faults = [store.applied_but_lost if applied else store.lost]
    with pytest.raises(Unavailable):
        record(app, [trade(2, 1, 100)], "m-2")
    assert record(app, [trade(2, 1, 100)], "m-2") == [DUPLICATE if applied else APPLIED]
    book = world.book()
    assert book is not None
    assert (book.fills, book.positions["default:SPY"].quantity) == (2, 2)
    effects = {effect.id for effect in world.outbox("books", "demo")}
    assert effects <= set(world.bus.ids())


def test_an_outage_is_not_a_refusal(world: World) -> None:
    """F13: a failed read must never quarantine, and never look like an unknown account."""
    app, store = world.instance()
    store.down = True
    with pytest.raises(Unavailable):
        record(app, [fill()])
    store.down = False
    assert record(app, [fill()]) == [APPLIED]


def test_one_account_s_outage_does_not_hold_up_the_others_of_the_message(world: World) -> None:
    world.open_account(account("two"))
    app, store = world.instance()
    store.faults = [store.lost]
    with pytest.raises(Unavailable):
        record(app, [fill(), fill(account="two")])
    assert world.book("two") is not None
    assert record(app, [fill(), fill(account="two")]) == [APPLIED, DUPLICATE]


def test_a_writer_that_always_loses_gives_up_and_does_not_acknowledge(world: World) -> None:
    """F14: bounded."""
    app, store = world.instance()
    store.faults = [store.raises(Conflict("lost"))] * 1000
    with pytest.raises(Contended):
        record(app, [fill()])
    assert store.commits < 50
    assert world.book() is None


schedule = st.lists(
    st.tuples(
        st.integers(0, 7),  # which fill
        st.integers(0, 2),  # at which instance
        st.sampled_from(["", "lost", "applied_but_lost", "conflict", "publish", "ambiguous"]),
    ),
    max_size=25,
)


@settings(max_examples=60)
@given(schedule)
def test_whatever_fails_every_fill_is_booked_once_and_every_effect_published(
    happened: list[tuple[int, int, str]],
) -> None:
    """I1-I5, F01-F12: a small model of the whole protocol; then everything is delivered until it is
    acknowledged.
    """
    world = World()
    world.open_account()
    fills = [trade(n, (3, -2, 1, -4)[n % 4], 100 + n) for n in range(8)]
    instances = [world.instance() for _ in range(3)]

    def deliver(number: int, instance: tuple[App, FaultyStore], fault: str) -> bool:
        app, store = instance
        store.faults = [_fault(store, fault)] if fault not in ("", "publish", "ambiguous") else []
        world.bus.down, world.bus.ambiguous = fault == "publish", fault == "ambiguous"
        try:
            return REFUSED not in record(app, [fills[number]], f"m-{number}")
        except Unavailable:
            return False
        except Unpublished:
            return False
        finally:
            world.bus.down = world.bus.ambiguous = False

    delivered = set()
    for number, instance, fault in happened:
        delivered.add(number)
        deliver(number, instances[instance], fault)
    for number in sorted(delivered):
        assert deliver(number, world.instance(), "")
    if not delivered:
        return
    book = world.book()
    assert book is not None
    wanted, _ = fold([fills[n] for n in delivered])
    position = book.positions["default:SPY"]
    assert (position.quantity, position.cost, position.realised) == (
        wanted.quantity,
        wanted.cost,
        wanted.realised,
    )
    assert book.fills == book.revision - BEGUN == len(delivered) == world.count("fills")
    assert {effect.id for effect in world.outbox("books", "demo")} <= set(world.bus.ids())
    rows = {
        row["event_id"]
        for body in world.bus.bodies("history")
        for row in body["rows"]
        if row["table"] == "fills"
    }
    assert rows == {fills[n].key for n in delivered}


def _fault(store: FaultyStore, name: str) -> object:
    return store.raises(Conflict("lost")) if name == "conflict" else getattr(store, name)


@settings(max_examples=60)
@given(
    st.permutations([*range(8), *range(8)]),
    st.lists(st.integers(1, 4), max_size=8),
    st.lists(st.integers(0, 2), min_size=16),
)
def test_any_order_of_arrival_at_any_instance_gives_the_same_book(
    order: list[int], sizes: list[int], at_instance: list[int]
) -> None:
    """F01, F05, I2, I12: each fill twice, alone or with its twin; the real fill log, out of the store."""
    world = World()
    world.open_account()
    instances = [world.instance()[0] for _ in range(3)]
    fills = [trade(n, (3, -3, 1, -4, 3, 2, -5, 1)[n], 100 + n, executed_at=at(n // 2)) for n in range(8)]
    rest, results = list(order), []
    for number in range(16):
        size = sizes[number] if number < len(sizes) else 1
        message, rest = rest[:size], rest[size:]
        if message:
            results += record(instances[at_instance[number]], [fills[n] for n in message], f"m-{number}")
    assert sorted(results) == [APPLIED] * 8 + [DUPLICATE] * 8
    book = world.book()
    assert book is not None
    assert book.positions["default:SPY"] == fold(fills)[0]
    assert (book.fills, world.count("fills")) == (8, 8)


def test_a_fill_of_a_message_that_is_refused_twice_is_refused_twice(world: World) -> None:
    """A refusal does not depend on the cache: warm or cold, the answer is the same."""
    app, _ = world.instance()
    record(app, [fill()])
    for instance in (app, app, world.instance()[0]):
        with pytest.raises(Rejected, match="CONFLICTING"):
            raise instance.recorder.record([fill(price="9")], "m-2")[0].refused or AssertionError
