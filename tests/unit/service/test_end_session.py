"""The end of a session: closes go into the history once, and factors come out of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest

from stopline.model.account import Account
from stopline.model.calendars import calendar
from stopline.model.errors import Transient
from stopline.model.messages import SweepKind
from stopline.model.times import utc_text
from stopline.ports import Path, Unavailable, Version, Write
from stopline.runtime.embedded import Embedded
from stopline.service.history.end_session import last_ended
from stopline.service.history.factors import decode, encode, factors_path
from stopline.service.history.load_closes import load_closes

from ..make import account, option, raw_fill

OPEN = datetime(2026, 11, 18, 17, tzinfo=UTC)
CLOSED = datetime(2026, 11, 18, 21, 4, tzinfo=UTC)
DAY = date(2026, 11, 18)
NYSE = calendar("XNYS")


def world(*accounts: Account, **measures: object) -> Embedded:
    made = Embedded(OPEN)
    for one in accounts or (account(measures=measures),):
        made.app.account_writer.create(one, "ann")
    return made


def trade_and_price(desk: Embedded, moment: datetime, **prices: float) -> None:
    desk.clock.set(moment)
    body = {
        "type": "stopline.prices.v1",
        "as_of": utc_text(moment),
        "symbols": list(prices),
        "last": list(prices.values()),
    }
    desk.publish("prices", body)
    desk.run()


def sweep(desk: Embedded, moment: datetime, kind: SweepKind = SweepKind.END_OF_DAY) -> None:
    desk.clock.set(moment)
    desk.sweep(kind)
    desk.run()
    assert desk.bus.faults == []


def closes(desk: Embedded) -> dict[tuple[str, date], Decimal]:
    return {(row["symbol"], row["session"]): row["close"] for row in desk.history.read("closes", [])}


def buy(desk: Embedded, **more: object) -> None:
    desk.publish("fills", raw_fill(**more))  # type: ignore[arg-type]
    desk.run()


def test_the_closes_of_what_the_risk_hangs_on_are_kept_once_a_session() -> None:
    """R2.9, R7.4: underlyings of options, shares, the index and the volatility index."""
    desk = world(index="SPX")
    buy(desk)
    buy(desk, fill_id="E-2", instrument=option(expiry=date(2026, 12, 18)))
    prices = {"SPY": 600.5, "SPXW": 6000.0, "SPX": 6001.0, "VIX": 17.5, "AAPL": 190.0}
    trade_and_price(desk, CLOSED - timedelta(minutes=5), **prices)
    sweep(desk, CLOSED, SweepKind.RISK)
    assert closes(desk) == {}
    for minutes in (1, 6, 11):
        sweep(desk, CLOSED + timedelta(minutes=minutes), SweepKind.SESSION_CLOSE)
        trade_and_price(desk, CLOSED + timedelta(minutes=minutes + 1), SPY=610.0)
    assert closes(desk) == {
        ("SPY", DAY): Decimal("600.5"),
        ("SPXW", DAY): 6000,
        ("SPX", DAY): 6001,
        ("VIX", DAY): Decimal("17.5"),
    }
    assert len(desk.history.rows["closes"]) == 4
    assert desk.store.query("sessions")[0].data["session"] == "2026-11-18"


def test_a_price_of_another_session_or_before_the_opening_is_no_close() -> None:
    """I7: a gap stays a gap, and is named."""
    desk = world()
    buy(desk)
    trade_and_price(desk, datetime(2026, 11, 18, 13, tzinfo=UTC), SPY=600.0)
    sweep(desk, CLOSED)
    assert closes(desk) == {}
    ended = desk.app.ended_sessions.read("XNYS")
    assert ended is not None
    assert set(ended.missing) == {"SPY", "VIX"}
    trade_and_price(desk, datetime(2026, 11, 19, 20, 59, tzinfo=UTC), SPY=601.0)
    sweep(desk, datetime(2026, 11, 21, 2, tzinfo=UTC))  # the price is of Thursday, the session of Friday
    assert closes(desk) == {}


def test_every_calendar_has_closes_of_its_own() -> None:
    """R1.5."""
    desk = world(account(), account("coins", calendar="24/7"))
    buy(desk)
    buy(desk, fill_id="E-2", account="coins")
    trade_and_price(desk, CLOSED - timedelta(minutes=5), SPY=600.0)
    sweep(desk, CLOSED)
    trade_and_price(desk, datetime(2026, 11, 18, 23, 59, tzinfo=UTC), SPY=602.0)
    sweep(desk, datetime(2026, 11, 19, 0, 15, tzinfo=UTC))
    found = {(row["calendar"], row["session"]): row["close"] for row in desk.history.read("closes", [])}
    assert found == {("XNYS", DAY): 600, ("24/7", DAY): 602}


@pytest.mark.parametrize(
    ("name", "moment", "session"),
    [
        ("XNYS", "2026-11-18T20:59:59+00:00", "2026-11-17"),
        ("XNYS", "2026-11-18T21:00:00+00:00", "2026-11-18"),
        ("XNYS", "2026-11-22T12:00:00+00:00", "2026-11-20"),
        ("XNYS", "2026-11-27T18:00:00+00:00", "2026-11-27"),  # an early close
        ("CMES", "2026-11-18T23:00:00+00:00", "2026-11-18"),
        ("24/7", "2026-11-18T23:59:59+00:00", "2026-11-17"),
        ("24/7", "2026-11-19T00:00:00+00:00", "2026-11-18"),
    ],
)
def test_the_last_ended_session(name: str, moment: str, session: str) -> None:
    found = last_ended(calendar(name), datetime.fromisoformat(moment))
    assert found.isoformat() == session


def load(desk: Embedded, count: int = 30, until: date = DAY) -> dict[tuple[str, date], Decimal]:
    """Load closes of a random walk, up to the session before `until`."""
    rng, day, made = np.random.default_rng(1), until, {}
    for _ in range(count):
        day = NYSE.previous_session(day)
        made["SPY", day] = round(Decimal(600 + float(rng.normal(0, 5))), 2)
        made["VIX", day] = round(Decimal(18 + float(rng.normal(0, 1))), 2)
    assert load_closes(desk.history, desk.clock, "XNYS", made) == []
    return made


def test_factors_are_made_of_loaded_closes_and_of_those_of_the_day() -> None:
    """R2.7, R2.9: the returns are those of the closes, by a second reckoning."""
    desk = world()
    buy(desk)
    loaded = load(desk)
    trade_and_price(desk, CLOSED - timedelta(minutes=5), SPY=606.0, VIX=19.0)
    sweep(desk, CLOSED)
    found = desk.app.factors.latest("XNYS")
    assert found is not None
    assert found.sessions[-1] == DAY
    assert len(found.sessions) == 30
    yesterday = NYSE.previous_session(DAY)
    last = dict(zip(found.symbols, found.returns[-1].tolist(), strict=True))
    assert last["SPY"] == pytest.approx(606.0 / float(loaded["SPY", yesterday]) - 1, abs=1e-7)
    assert last["VIX"] == pytest.approx(19.0 / float(loaded["VIX", yesterday]) - 1, abs=1e-7)
    [document] = desk.store.query("factors")
    assert document.path == factors_path("XNYS", DAY)
    assert document.data["expires_at"] > CLOSED + timedelta(days=30)
    sweep(desk, CLOSED + timedelta(hours=1))
    assert desk.store.query("factors")[0].version == document.version


def test_what_a_user_loads_goes_before_the_mark_and_the_last_one_loaded_holds() -> None:
    desk = world()
    buy(desk)
    load(desk)
    trade_and_price(desk, CLOSED - timedelta(minutes=5), SPY=606.0, VIX=19.0)
    sweep(desk, CLOSED)
    for price in ("650", "651"):
        desk.clock.set(desk.clock.now() + timedelta(minutes=1))
        load_closes(desk.history, desk.clock, "XNYS", {("SPY", DAY): Decimal(price)})
    sweep(desk, CLOSED + timedelta(hours=1))
    found = desk.app.factors.latest("XNYS")
    assert found is not None
    before = closes_of(desk, NYSE.previous_session(DAY))
    assert found.returns[-1, found.symbols.index("SPY")] == pytest.approx(651 / before - 1, abs=1e-7)


def closes_of(desk: Embedded, day: date) -> float:
    return float(closes(desk)["SPY", day])


def test_named_days_older_than_the_window_are_worked_in() -> None:
    """R2.9: named historical days from data that the user loads."""
    desk = world(days={"volmageddon": "2018-02-05"})
    buy(desk)
    load(desk)
    old = {("SPY", date(2018, 2, 2)): Decimal("275.45"), ("SPY", date(2018, 2, 5)): Decimal("263.93")}
    load_closes(desk.history, desk.clock, "XNYS", old)
    trade_and_price(desk, CLOSED - timedelta(minutes=5), SPY=606.0)
    sweep(desk, CLOSED)
    found = desk.app.factors.latest("XNYS")
    assert found is not None
    assert found.days[date(2018, 2, 5)] == {"SPY": pytest.approx(263.93 / 275.45 - 1, abs=1e-6)}


def test_while_the_history_is_away_the_old_factors_hold_and_the_round_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """F: BigQuery is down."""
    desk = world()
    buy(desk)
    load(desk)
    trade_and_price(desk, CLOSED - timedelta(minutes=5), SPY=606.0)
    sweep(desk, CLOSED)

    def down(*_: object) -> None:
        raise Unavailable("BigQuery is down")

    monkeypatch.setattr(desk.history, "read", down)
    trade_and_price(desk, CLOSED + timedelta(hours=23), SPY=607.0)
    sweep(desk, CLOSED + timedelta(days=1))
    found = desk.app.factors.latest("XNYS")
    assert found is not None
    assert found.sessions[-1] == DAY
    assert desk.store.get(Path("heartbeats", "end_of_day")) is not None


def test_factors_that_the_store_did_not_take_are_worked_out_again_by_the_same_sweep(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A write that failed is no answer, and costs no other calendar its factors."""
    desk = world(account(), account(account="other", calendar="24/7"))
    buy(desk)
    buy(desk, fill_id="E-2", account="other")
    load(desk)
    trade_and_price(desk, CLOSED - timedelta(minutes=5), SPY=606.0)
    commit, failed = desk.store.commit, list[Path]()

    def fails_once(writes: Sequence[Write]) -> list[Version]:
        if writes[0].path.collection == "factors" and not failed:
            failed.append(writes[0].path)
            raise Unavailable("the store is down")
        return commit(writes)

    monkeypatch.setattr(desk.store, "commit", fails_once)
    desk.clock.set(CLOSED)
    desk.sweep(SweepKind.END_OF_DAY)
    desk.run()
    assert failed
    assert [str(fault) for fault in desk.bus.faults] == [f"factors: {failed[0].id[11:]}: the store is down"]
    assert {document.data["calendar"] for document in desk.store.query("factors")} == {"24/7", "XNYS"}


def test_factors_come_back_as_they_were_written_and_a_newer_version_is_refused() -> None:
    desk = world()
    buy(desk)
    load(desk)
    trade_and_price(desk, CLOSED - timedelta(minutes=5), SPY=606.0)
    sweep(desk, CLOSED)
    found = desk.app.factors.latest("XNYS")
    assert found is not None
    assert encode(decode(encode(found))) == encode(found)
    newer = encode(found) | {"state": '{"schema": 2}'}
    with pytest.raises(Transient, match="schema 2"):
        decode(newer)
