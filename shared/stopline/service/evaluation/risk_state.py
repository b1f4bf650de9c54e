"""The risk document of an account: what was last worked out, and what stands since when."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import orjson

from stopline.model.decimals import decimal_text
from stopline.model.errors import Transient
from stopline.model.messages import TrendPoint
from stopline.model.times import utc_text
from stopline.ports import Clock, Data, Store
from stopline.rules.limits.registry import Level
from stopline.rules.limits.stops import Stop
from stopline.rules.limits.track import DayStart, Track
from stopline.rules.limits.trend import Trend
from stopline.rules.limits.watch import Watched
from stopline.rules.reduction.watch import Reducing
from stopline.rules.trading.breakers import Tripped
from stopline.rules.watching.trades import TradeWatch
from stopline.service.documents.aggregate import Aggregates
from stopline.service.documents.outbox import Relay
from stopline.service.evaluation.track_state import (
    decode_start,
    decode_track,
    encode_start,
    encode_track,
)
from stopline.service.exits.encoding import AccountExits, decode_exits, encode_exits

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class RiskState:
    """`shown`: the numbers for people, as text (None: UNKNOWN); the rest is for the next evaluation."""

    account: str
    as_of: datetime
    book_revision: int
    revision: int = 0  # counts commits: it gives every alert and row an id of its own
    prices_at: datetime | None = None  # the newest price that was used
    day_start: DayStart | None = None
    last_total: tuple[datetime, Decimal] | None = None
    track: Track = field(default_factory=Track)
    watched: Mapping[str, Watched] = field(default_factory=dict)
    stops: Mapping[str, Stop] = field(default_factory=dict)  # of limits that are in breach
    trends: Mapping[str, Trend] = field(
        default_factory=dict
    )  # lately, of limits that are used to half or more
    breakers: Mapping[str, Tripped] = field(default_factory=dict)  # those that are not clear
    unpriced: tuple[str, ...] = ()
    blind: Mapping[str, datetime] = field(
        default_factory=dict
    )  # symbols without a dependable price: last without
    snapshot_at: datetime | None = None
    shown: Mapping[str, Any] = field(default_factory=dict)
    trades: Mapping[str, TradeWatch] = field(default_factory=dict)  # by trade id
    lifecycle: Mapping[str, datetime] = field(
        default_factory=dict
    )  # what people were told of options, since when
    levels: Mapping[str, datetime] = field(default_factory=dict)  # prices that are reached, since when
    exits: AccountExits = field(default_factory=AccountExits)
    reducing: Mapping[str, Reducing] = field(default_factory=dict)  # by limit or breaker
    settings: int = 0  # version of the account's settings that it was decided by; 0: of before this was noted

    @property
    def level(self) -> Level:
        """The worst level of any limit."""
        return max((w.level for w in self.watched.values()), key=lambda level: level.rank, default=Level.OK)

    @property
    def session(self) -> date | None:
        """The session that it is of; None: nothing was valued yet."""
        text = self.shown.get("session")
        return date.fromisoformat(text) if text else None


class RiskCodec:
    """A risk state as the fields of its document."""

    collection = "risk"

    def encode(self, state: RiskState) -> Data:
        body = {
            "schema": SCHEMA,
            "book_revision": state.book_revision,
            "revision": state.revision,
            "prices_at": utc_text(state.prices_at) if state.prices_at else None,
            "day_start": encode_start(state.day_start),
            "last_total": [utc_text(state.last_total[0]), decimal_text(state.last_total[1])]
            if state.last_total
            else None,
            "track": encode_track(state.track),
            "watched": {
                key: [
                    w.level.value,
                    utc_text(w.since),
                    None if w.current is None else decimal_text(w.current),
                ]
                for key, w in sorted(state.watched.items())
            },
            "stops": {
                key: [s.request_id, None if s.level is None else decimal_text(s.level), s.ended]
                for key, s in sorted(state.stops.items())
            },
            # beside them: the versions of before read three parts of each
            "stops_asked_at": {
                key: utc_text(s.asked_at) for key, s in sorted(state.stops.items()) if s.asked_at
            },
            "trends": {
                key: [[int(p.at.timestamp()), decimal_text(p.current)] for p in trend]
                for key, trend in sorted(state.trends.items())
            },
            "breakers": encode_breakers(state.breakers),
            "unpriced": list(state.unpriced),
            "blind": {symbol: utc_text(at) for symbol, at in sorted(state.blind.items())},
            "snapshot_at": utc_text(state.snapshot_at) if state.snapshot_at else None,
            "shown": dict(state.shown),
            "lifecycle": {key: utc_text(since) for key, since in sorted(state.lifecycle.items())},
            "levels": {key: utc_text(since) for key, since in sorted(state.levels.items())},
            "trades": {id_: _seen(trade) for id_, trade in sorted(state.trades.items())},
            "exits": encode_exits(state.exits),
            "reducing": encode_reducing(state.reducing),
            "settings": state.settings,
        }
        return {
            "account": state.account,
            "as_of": state.as_of,
            "level": state.level.value,
            "state": orjson.dumps(body).decode(),
        }

    def decode(self, data: Data) -> RiskState:
        body = orjson.loads(data["state"])
        if body["schema"] > SCHEMA:
            raise Transient(
                f"risk/{data['account']} has schema {body['schema']}, this version writes {SCHEMA}"
            )
        total, snapshot = body["last_total"], body["snapshot_at"]
        return RiskState(
            account=data["account"],
            as_of=data["as_of"].astimezone(UTC),
            book_revision=body["book_revision"],
            revision=body["revision"],
            prices_at=datetime.fromisoformat(body["prices_at"]) if body["prices_at"] else None,
            day_start=decode_start(body["day_start"]),
            last_total=(datetime.fromisoformat(total[0]), Decimal(total[1])) if total else None,
            track=decode_track(body.get("track")),
            watched={
                key: Watched(
                    Level(level), datetime.fromisoformat(since), None if number is None else Decimal(number)
                )
                for key, (level, since, number) in body["watched"].items()
            },
            stops=_stops(body),
            trends={
                key: tuple(
                    TrendPoint(at=datetime.fromtimestamp(at, UTC), current=Decimal(number))
                    for at, number in points
                )
                for key, points in body.get("trends", {}).items()
            },
            breakers=decode_breakers(body.get("breakers", {})),
            unpriced=tuple(body["unpriced"]),
            blind=_blind(body, data["as_of"].astimezone(UTC)),
            snapshot_at=datetime.fromisoformat(snapshot) if snapshot else None,
            shown=body["shown"],
            lifecycle={
                key: datetime.fromisoformat(since) for key, since in body.get("lifecycle", {}).items()
            },
            levels={key: datetime.fromisoformat(since) for key, since in body.get("levels", {}).items()},
            trades={id_: _read_seen(*item) for id_, item in body.get("trades", {}).items()},
            exits=decode_exits(body.get("exits")),
            reducing=decode_reducing(body.get("reducing", {})),
            settings=body.get("settings", 0),
        )


def risk_states(store: Store, relay: Relay, clock: Clock) -> Aggregates[RiskState]:
    """Return access to all risk documents."""
    return Aggregates(store, relay, clock, RiskCodec())


def encode_breakers(breakers: Mapping[str, Tripped]) -> dict[str, list[Any]]:
    """Write breakers that are not clear as plain data."""
    return {
        name: [
            utc_text(t.since),
            t.confirmed,
            t.good,
            t.request_id,
            None if t.level is None else decimal_text(t.level),
            t.lifted,
            None if t.prices_at is None else utc_text(t.prices_at),
        ]
        for name, t in sorted(breakers.items())
    }


def decode_breakers(data: Mapping[str, list[Any]]) -> dict[str, Tripped]:
    """Read what `encode_breakers` wrote; of before there were requests, levels and price times they have none."""
    return {name: _tripped(*item) for name, item in data.items()}


def _tripped(
    since: str,
    confirmed: bool,
    good: int,
    request_id: str = "",
    level: str | None = None,
    lifted: bool = False,
    prices_at: str | None = None,
) -> Tripped:
    at, number = datetime.fromisoformat(since), None if level is None else Decimal(level)
    seen = None if prices_at is None else datetime.fromisoformat(prices_at)
    return Tripped(at, confirmed, good, request_id, number, lifted, seen)


def encode_reducing(standing: Mapping[str, Reducing]) -> dict[str, list[str | None]]:
    """Write reductions that stand as plain data."""
    return {
        name: [utc_text(at) if at else None for at in (one.since, one.asked_at, one.prices_at)]
        for name, one in sorted(standing.items())
    }


def decode_reducing(data: Mapping[str, list[str | None]]) -> dict[str, Reducing]:
    """Read what `encode_reducing` wrote; of before there were price times they have none."""
    times = {name: [datetime.fromisoformat(at) if at else None for at in item] for name, item in data.items()}
    return {name: Reducing(since, *rest) for name, (since, *rest) in times.items() if since is not None}


def _stops(body: Any) -> dict[str, Stop]:
    """Return the stops of limits; of before it was kept nobody knows when they were asked for."""
    times = {key: datetime.fromisoformat(at) for key, at in body.get("stops_asked_at", {}).items()}
    return {
        key: Stop(id_, None if level is None else Decimal(level), ended, times.get(key))
        for key, (id_, level, ended) in body.get("stops", {}).items()
    }


def _blind(body: Any, as_of: datetime) -> dict[str, datetime]:
    """Return the blind spots; a document of before they were kept had those that it names as unpriced."""
    known = body.get("blind")
    if known is None:
        return dict.fromkeys(body["unpriced"], as_of)
    return {symbol: datetime.fromisoformat(at) for symbol, at in known.items()}


def _seen(trade: TradeWatch) -> list[str | bool | None]:
    numbers = (trade.low, trade.high, trade.vix_entry, trade.vix_exit)
    return [trade.told, *(None if x is None else decimal_text(x) for x in numbers)]


def _read_seen(told: bool, *numbers: str | None) -> TradeWatch:
    low, high, entry, exit_ = (None if x is None else Decimal(x) for x in numbers)
    return TradeWatch(low, high, entry, exit_, told)
