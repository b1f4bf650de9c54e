"""What exits remember of an account, and how it is written into the risk document: only what is not as usual."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from stopline.model.decimals import decimal_text
from stopline.model.times import utc_text
from stopline.rules.exits.state import Asked, ExitState, Splits
from stopline.rules.exits.strategy_exits import Stopped, StrategyState
from stopline.rules.exits.trailing import Bars


@dataclass(frozen=True, slots=True)
class AccountExits:
    """By trade id, and by strategy. `paused`: names of trades whose exits see no fresh price; `degraded`: ids of
    trades whose health people were told of.
    """

    trades: Mapping[str, ExitState] = field(default_factory=dict)
    strategies: Mapping[str, StrategyState] = field(default_factory=dict)
    paused: tuple[str, ...] = ()
    degraded: tuple[str, ...] = ()


def encode_exits(exits: AccountExits) -> dict[str, Any]:
    """Write it as plain data."""
    return {
        "trades": {id_: _trade(state) for id_, state in sorted(exits.trades.items())},
        "strategies": {name: _strategy(state) for name, state in sorted(exits.strategies.items())},
        "paused": list(exits.paused),
        "degraded": list(exits.degraded),
    }


def decode_exits(item: Mapping[str, Any] | None) -> AccountExits:
    """Read what `encode_exits` wrote; a document without it remembers nothing."""
    if not item:
        return AccountExits()
    return AccountExits(
        {id_: _read_trade(some) for id_, some in item["trades"].items()},
        {name: _read_strategy(some) for name, some in item["strategies"].items()},
        tuple(item["paused"]),
        tuple(item["degraded"]),
    )


def _trade(s: ExitState) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "shape": s.shape,
        "size": _text(s.size),
        "stop": _text(s.stop),
        "rule": s.rule,
        "others": [[rule, _text(level)] for rule, level in s.others],
        "best": _text(s.best),
        "risk": _text(s.risk),
        "atr": s.risk is not None and [_text(s.atr)],
        "even": s.is_even,
        "stage": s.stage,
        "advised": s.advised,
        "pending": [decimal_text(p) for p in s.pending],
        "counted_at": _time(s.counted_at),
        "bars": _bars(s.bars),
        "asked": s.asked
        and [s.asked.rule, utc_text(s.asked.at), _text(s.asked.leave), s.asked.advisory, s.asked.stuck],
        "told": list(s.told),
        "splits": _splits(s.splits),
        "old_terms": _splits(s.old_terms),
        "since": _time(s.since),
        "odd_since": _time(s.odd_since),
        "split_at": _time(s.split_at),
    }
    return {name: value for name, value in facts.items() if value}


def _splits(splits: Splits) -> list[list[str]]:
    return [[name, decimal_text(new), decimal_text(old)] for name, new, old in splits]


def _read_splits(items: Iterable[tuple[str, str, str]]) -> Splits:
    return tuple((name, Decimal(new), Decimal(old)) for name, new, old in items)


def _read_trade(item: Mapping[str, Any]) -> ExitState:
    asked = item.get("asked")
    return ExitState(
        shape=item.get("shape", ""),
        size=Decimal(item.get("size", "0")),
        stop=_number(item.get("stop")),
        rule=item.get("rule", ""),
        others=_levels(item),
        best=_number(item.get("best")),
        risk=_number(item.get("risk")),
        atr=_number(item["atr"][0]) if "atr" in item else (Decimal(0) if "risk" in item else None),
        is_even=item.get("even", False),
        stage=item.get("stage", 0),
        advised=item.get("advised", 0),
        pending=tuple(map(Decimal, item.get("pending", ()))),
        counted_at=_moment(item.get("counted_at")),
        bars=_read_bars(item.get("bars")),
        asked=asked
        and Asked(asked[0], datetime.fromisoformat(asked[1]), Decimal(asked[2]), asked[3], asked[4]),
        told=tuple(item.get("told", asked[:1] if asked and asked[3] else ())),
        splits=_read_splits(item.get("splits", ())),
        old_terms=_read_splits(item.get("old_terms", ())),
        since=_moment(item.get("since")),
        odd_since=_moment(item.get("odd_since")),
        split_at=_moment(item.get("split_at")),
    )


def _levels(item: Mapping[str, Any]) -> tuple[tuple[str, Decimal], ...]:
    return tuple((rule, Decimal(level)) for rule, level in item.get("others", ()))


def _bars(b: Bars | None) -> list[Any] | None:
    if b is None:
        return None
    return [utc_text(b.start), *(_text(x) for x in (b.high, b.low, b.close, b.before, b.atr)), b.count]


def _read_bars(item: list[Any] | None) -> Bars | None:
    if not item:
        return None
    high, low, close, before, atr = (_number(x) for x in item[1:6])
    assert high is not None
    assert low is not None
    assert close is not None
    assert atr is not None
    return Bars(datetime.fromisoformat(item[0]), high, low, close, before, item[6], atr)


def _strategy(s: StrategyState) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "session": s.session.isoformat() if s.session else None,
        "base": _text(s.base),
        "last": _text(s.last),
        "peak": _text(s.peak),
        "stop": _text(s.stop),
        "rule": s.rule,
        "others": [[rule, _text(level)] for rule, level in s.others],
        "pending": [decimal_text(p) for p in s.pending],
        "counted_at": _time(s.counted_at),
        "quiet_at": _time(s.quiet_at),
        "stopped": s.stopped
        and [
            s.stopped.rule,
            utc_text(s.stopped.at),
            _text(s.stopped.mtm),
            _text(s.stopped.level),
            s.stopped.advisory,
            s.stopped.stuck,
            s.stopped.over,
        ],
        "counts": s.counts,
    }
    return {name: value for name, value in facts.items() if value}


def _read_strategy(item: Mapping[str, Any]) -> StrategyState:
    stopped = item.get("stopped")
    session = item.get("session")
    return StrategyState(
        session=date.fromisoformat(session) if session else None,
        base=Decimal(item.get("base", "0")),
        last=_number(item.get("last")),
        peak=Decimal(item.get("peak", "0")),
        stop=_number(item.get("stop")),
        rule=item.get("rule", ""),
        others=_levels(item),
        pending=tuple(map(Decimal, item.get("pending", ()))),
        counted_at=_moment(item.get("counted_at")),
        quiet_at=_moment(item.get("quiet_at")),
        stopped=stopped
        and Stopped(
            stopped[0],
            datetime.fromisoformat(stopped[1]),
            Decimal(stopped[2]),
            Decimal(stopped[3]),
            stopped[4],
            *stopped[5:],
        ),
        counts=tuple(item["counts"]) if "counts" in item else None,
    )


def _text(value: Decimal | None) -> str | None:
    return None if value is None else decimal_text(value)


def _number(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else utc_text(moment)


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
