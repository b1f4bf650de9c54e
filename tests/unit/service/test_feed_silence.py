"""A feed that is silent is told by market and source, once an incident, whatever else lives: R2.12, R5.4."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson
import pytest

from stopline.model.fill import Fill
from stopline.model.instrument import Instrument
from stopline.model.wire import validate
from stopline.ports import Put
from stopline.runtime.embedded import Embedded
from stopline.service.sweep.watchdog import WATCHED

from ..make import NOON, account, equity, option, raw_fill

EVENING = NOON.replace(hour=23)
COIN = {"symbol": "BTCUSD", "kind": "crypto", "currency": "USD"}


class Floor:
    """A Stopline that holds what is asked for, and what the operator is told of feeds."""

    def __init__(self, *held: Instrument, at: datetime = NOON, **settings: Any) -> None:
        self.world = Embedded(at)
        self.told: list[dict[str, Any]] = []
        self.world.app.account_writer.create(account(**settings), "ann")
        self.world.bus.subscribe("alerts", lambda message, _id, _attempt: self._note(message))
        self.trade(*held)

    def _note(self, message: Any) -> None:
        body = orjson.loads(message.data)
        if body["type"] == "stopline.alert.v1" and body["kind"] == "feed_silent":
            self.told.append(body)

    def trade(self, *held: Instrument, side: str = "BUY", of: str = "demo") -> None:
        now = self.world.clock.now()
        for instrument in held:
            body = raw_fill(f"{instrument.symbol}-{side}", side, 1, 100, now, instrument)
            self.world.app.recorder.record([validate(Fill, body | {"account": of})], f"m-{body['fill_id']}")
        self.world.run()

    def minutes(self, count: int, **prices: Sequence[str]) -> None:
        for _ in range(count):
            self.world.clock.set(self.world.clock.now() + timedelta(seconds=60))
            for source, symbols in prices.items():
                body = {
                    "type": "stopline.prices.v1",
                    "source": source,
                    "as_of": self.world.clock.now().isoformat(),
                    "symbols": list(symbols),
                    "last": [100.0] * len(symbols),
                }
                self.world.publish("prices", body)
            self.world.sweep()
            self.world.run()

    def words(self) -> list[tuple[str, bool, str]]:
        return [(b["severity"], b["resolved"], b["summary"]) for b in self.told]


def coin() -> Instrument:
    return validate(Instrument, COIN)


def test_live_crypto_hides_no_dead_equities() -> None:
    """R2.12: one source sends both, and of one market nothing comes any more."""
    floor = Floor(equity("SPY"), coin())
    floor.minutes(3, feed=["SPY", "BTCUSD"])
    assert floor.told == []
    floor.minutes(10, feed=["BTCUSD"])
    text = "No price for 3 min of XNYS from feed: SPY held by demo"
    assert floor.words() == [("critical", False, text)]
    floor.minutes(2, feed=["SPY", "BTCUSD"])
    assert floor.words()[1:] == [("warning", True, f"Over after 7 min: {text}")]


def test_a_dead_source_is_told_beside_a_live_one_of_the_same_market() -> None:
    floor = Floor(equity("SPY"), equity("QQQ"))
    floor.minutes(3, a=["SPY"], b=["QQQ"])
    floor.minutes(10, b=["QQQ"])
    assert floor.words() == [("critical", False, "No price for 3 min of XNYS from a: SPY held by demo")]


def test_an_option_feed_that_is_dead_is_not_hidden_by_the_price_of_its_underlying() -> None:
    put = option()
    floor = Floor(put)
    floor.minutes(3, a=["SPXW"], b=[put.symbol])
    floor.minutes(10, a=["SPXW"])
    assert [b["object"] for b in floor.told] == ["XNYS from b"]


def test_a_quiet_option_is_no_dead_feed_while_its_source_sends_others() -> None:
    """Its account is told of it (`stale_prices`)."""
    put = option()
    floor = Floor(put)
    floor.minutes(3, a=["SPXW", put.symbol])
    floor.minutes(10, a=["SPXW"])
    assert floor.told == []


def test_a_source_whose_prices_another_sends_too_may_die() -> None:
    floor = Floor(equity("SPY"))
    floor.minutes(3, a=["SPY"], b=["SPY"])
    floor.minutes(10, a=["SPY"])
    assert floor.told == []


def test_a_feed_that_never_sent_anything_is_told_where_something_is_held() -> None:
    floor = Floor(equity("SPY"))
    floor.minutes(3)
    assert floor.told == []
    floor.minutes(10)
    assert floor.words() == [("critical", False, "No price of XNYS ever came: SPY held by demo")]
    floor.minutes(2, feed=["SPY"])
    assert floor.words()[1][:2] == ("warning", True)
    assert floor.words()[1][2].startswith("Over after")


def test_one_symbol_that_never_had_a_price_is_no_silent_feed() -> None:
    floor = Floor(equity("SPY"), equity("TYPO"))
    floor.minutes(10, feed=["SPY"])
    assert floor.told == []


def test_when_everything_dies_it_is_one_story_and_what_comes_back_leaves_it() -> None:
    floor = Floor(equity("SPY"), equity("QQQ"), coin())
    floor.minutes(3, a=["SPY"], b=["QQQ"], c=["BTCUSD"])
    floor.minutes(10)
    [one] = floor.told
    everywhere = "24/7 from c, XNYS from a and b"
    assert one["object"] == everywhere
    assert one["summary"] == f"No price for 3 min of {everywhere}: BTCUSD, QQQ, SPY held by demo"
    floor.minutes(3, c=["BTCUSD"])
    assert floor.words()[1:] == [
        (
            "critical",
            False,
            "Still no price for 3 min of XNYS from a and b: QQQ, SPY held; over: 24/7 from c",
        )
    ]
    floor.minutes(10)  # crypto dies again: a new incident, the old one stands
    assert [b["object"] for b in floor.told[2:]] == ["24/7 from c"]
    floor.minutes(2, a=["SPY"], b=["QQQ"], c=["BTCUSD"])
    assert {(b["object"], b["resolved"]) for b in floor.told[3:]} == {
        (everywhere, True),
        ("24/7 from c", True),
    }
    assert len(floor.told) == 5


def test_a_market_is_missed_in_its_own_hours_only() -> None:
    floor = Floor(equity("SPY"), coin(), at=EVENING)
    floor.minutes(3, feed=["SPY", "BTCUSD"])
    floor.minutes(10)
    assert [b["object"] for b in floor.told] == ["24/7 from feed"]


def test_a_feed_has_time_to_begin_with_what_was_just_bought() -> None:
    """The only price that is known is an hour old."""
    floor = Floor(equity("SPY"))
    floor.minutes(2, feed=["SPY", "QQQ"])
    floor.trade(equity("SPY"), side="SELL")
    floor.minutes(60)
    floor.trade(equity("QQQ"))
    floor.minutes(3)
    assert floor.told == []
    floor.minutes(1)
    assert [b["object"] for b in floor.told] == ["XNYS from feed"]


def test_what_is_only_awaited_is_a_warning_until_it_is_held() -> None:
    levels = [{"name": "dip", "symbol": "QQQ", "side": "below", "price": "50"}]
    floor = Floor(coin(), levels=levels)
    floor.minutes(3, a=["QQQ"], b=["BTCUSD"])
    floor.minutes(10, b=["BTCUSD"])
    awaited = "No price for 3 min of XNYS from a: QQQ awaited by demo"
    assert floor.words() == [("warning", False, awaited)]
    floor.trade(equity("QQQ"))
    floor.minutes(5, b=["BTCUSD"])
    held = "Still no price for 3 min of XNYS from a: QQQ held"
    assert floor.words()[1:] == [("critical", False, held)]


@pytest.mark.parametrize(
    ("why", "says"),
    [
        ("flat", "Nothing is held there any more"),
        ("other", "Another feed sends these prices now"),
    ],
)
def test_the_end_without_a_price_of_it_says_why(why: str, says: str) -> None:
    floor = Floor(equity("SPY"), coin())
    floor.minutes(3, a=["SPY"], b=["BTCUSD"])
    floor.minutes(6, b=["BTCUSD"])
    if why == "flat":
        floor.trade(equity("SPY"), side="SELL")
    floor.minutes(2, b=["BTCUSD", *(["SPY"] if why == "other" else [])])
    text = "No price for 3 min of XNYS from a: SPY held by demo"
    assert floor.words()[1:] == [("warning", True, f"{says}: {text}")]
    assert floor.told[1]["cause"] == "moot"


def test_a_silence_of_an_older_version_is_over_or_told_anew_by_its_market() -> None:
    """What was stored has no parts."""
    floor = Floor(equity("SPY"))
    floor.minutes(3, feed=["SPY"])
    floor.minutes(6)
    document = floor.world.store.get(WATCHED)
    assert document is not None
    [key] = [key for key in orjson.loads(document.data["state"]) if key.startswith("feed_silent")]
    since = orjson.loads(document.data["state"])[key][0]
    old = {"feed_silent|": [since, ["feed_silent", None, "No price came", "Look"]]}
    floor.world.store.commit([Put(WATCHED, document.data | {"state": orjson.dumps(old).decode()})])
    floor.told.clear()
    floor.minutes(1)
    assert [(b["object"], b["resolved"]) for b in floor.told] == [
        ("XNYS from feed", False),
        ("account", True),
    ]
