"""Samples of silences and of the daily word, made by the rules that word them."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

from emulators.story_samples import AT
from stopline.model.account import Account
from stopline.model.control import TradingState
from stopline.model.messages import Alert
from stopline.model.wire import validate
from stopline.rules.watching.all_is_well import Checked, heartbeat
from stopline.rules.watching.feeds import Need, feed_silences, feeds
from stopline.rules.watching.found import Found
from stopline.rules.watching.watchdog import broker_silence

_SINCE = AT - timedelta(minutes=9)
_MARKETS = (("24/7", "BTCUSD", "kraken"), ("XNYS", "QQQ", "polygon"), ("XNYS", "SPX", "cboe"))


def _silent(dead: int, told: tuple[Found, ...] = ()) -> list[Found]:
    """Return what is silent while the last so many of the feeds are dead."""
    alive = len(_MARKETS) - dead
    needs = [
        Need(
            account="demo",
            market=market,
            symbol=symbol,
            feed=feed,
            seen=AT if place < alive else _SINCE,
            longest=timedelta(minutes=3),
            awaited=True,
            held_since=_SINCE,
        )
        for place, (market, symbol, feed) in enumerate(_MARKETS)
    ]
    return feed_silences(feeds(needs, told), told, AT)


def silences() -> dict[str, Alert]:
    """Return three feeds that die together, and what is left when one is back; an adapter that was retired; a quiet day."""
    [all_dead] = _silent(3)
    [rest] = _silent(2, (all_dead,))
    facts = {"account": "demo", "owner": "ann", "currency": "USD", "capital": "100000"}
    [adapter] = broker_silence(validate(Account, facts), {"ibkr-gateway": _SINCE}, AT)
    levels = Counter(ok=13, warn=2, breach=1)
    day = Checked(positions=4, unpriced=0, levels=levels, silent=0, trading=TradingState.REDUCING)
    return {
        "feeds": all_dead.alert(AT, AT),
        "feeds_left": rest.alert(_SINCE, AT),
        "adapter": adapter.alert(AT, AT),
        "adapter_retired": adapter.end(_SINCE, AT, "It was retired by hand"),
        "heartbeat": heartbeat(["demo"], [day], AT),
    }
