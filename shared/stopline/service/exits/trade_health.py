"""How open trades are: where their exits stand, their health, and who is told when it degrades."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from stopline.model.account import Account
from stopline.model.decimals import EXACT, ZERO, decimal_text, divide, price_text
from stopline.model.instrument import Instrument
from stopline.model.messages import Alert
from stopline.model.times import utc_text
from stopline.risk.border import to_decimal
from stopline.rules.exits.alerts import health_alert
from stopline.rules.exits.health import CLEAR_BY, Health, Vitals, health, move_cost
from stopline.rules.exits.state import FRESH
from stopline.rules.exits.strategy_exits import StrategyState
from stopline.rules.exits.table import Watch
from stopline.rules.exits.trade_exits import levels_of, risk_of, stop_rule
from stopline.rules.limits.figures import Rate, Valued
from stopline.rules.limits.net_greeks import AccountGreeks
from stopline.service.exits.encoding import AccountExits
from stopline.service.prices.marks import Mark

ONE_DAY = Decimal(1)


@dataclass(frozen=True, slots=True)
class Checkup:
    """What was found: for people (`shown`), the alerts, and what is remembered."""

    exits: AccountExits
    alerts: list[Alert]
    shown: dict[str, Any]


def examine(
    account: Account,
    watched: Sequence[Watch],
    exits: AccountExits,
    unknown: frozenset[str],
    positions: Sequence[Valued],
    marks: Mapping[str, Mark],
    greeks: AccountGreeks | None,
    rate: Rate,
    now: datetime,
    cause: str,
) -> Checkup:
    """Look at every open trade. Health is told of trades that have exits, when it falls below `health_below`; an
    UNKNOWN health changes nothing. `unknown`: strategies whose MTM is.
    """
    held = [v.position for v in positions]
    contracts = {p.instrument.symbol: p.instrument for p in held}
    sizes = {p.key: EXACT.multiply(p.quantity, p.instrument.multiplier) for p in held}
    degraded = set(exits.degraded)
    alerts: list[Alert] = []
    trades: dict[str, Any] = {}
    for w in watched:
        found, price = _health(account, w, exits, contracts, sizes, marks, greeks, rate, now)
        trades[w.held.trade_id] = _shown(w, exits, found, price)
        below, id_ = w.plan.health_below, w.held.trade_id
        if w.plan.is_empty or below is None or found.score is None:
            continue
        is_low = found.score < below + (CLEAR_BY if id_ in degraded else 0)
        if is_low is not (id_ in degraded):
            degraded ^= {id_}
            why = f"mostly for its {found.worst}"
            alerts.append(health_alert(account.account, w.held, found.score, below, is_low, why, cause, now))
    shown = {
        "trades": trades,
        "strategies": {name: _strategy(state, name in unknown) for name, state in exits.strategies.items()},
        "paused": list(exits.paused),
    }
    return Checkup(replace(exits, degraded=tuple(sorted(degraded))), alerts, shown)


def _health(
    account: Account,
    w: Watch,
    exits: AccountExits,
    contracts: Mapping[str, Instrument],
    sizes: Mapping[str, Decimal],
    marks: Mapping[str, Mark],
    greeks: AccountGreeks | None,
    rate: Rate,
    now: datetime,
) -> tuple[Health, Decimal | None]:
    """Return a trade's health, and its price where every leg has a fresh one."""
    found = [marks.get(symbol) for symbol, _ in w.legs]
    ages = [Decimal(str((now - mark.as_of).total_seconds())) for mark in found if mark]
    age = max(ages) if len(ages) == len(found) else None
    max_age = Decimal(int(w.plan.price_max_age.total_seconds()))
    price: Decimal | None = ZERO
    for (_, weight), mark in zip(w.legs, found, strict=True):
        value = to_decimal(mark.quote.mark) if mark and age is not None and age <= max_age else None
        price = None if value is None or price is None else EXACT.add(price, EXACT.multiply(weight, value))
    stop, _ = levels_of(w.plan, w.held, exits.trades.get(w.held.trade_id, FRESH))
    left, whole = _time(account, w, contracts, now)
    side = Decimal(w.held.side)
    turn = EXACT.multiply
    applies = {"liquidity", "data"} | ({"time"} if whole is not None else set())
    applies |= {"stop"} if stop is not None or w.plan.stop_loss is not None else set()
    applies |= {"greeks"} if any(c.right for s, _ in w.legs if (c := contracts.get(s))) else set()
    vitals = Vitals(
        applies=frozenset(applies),
        price=None if price is None else turn(price, side),
        entry=turn(w.held.entry, side),
        stop=None if stop is None else turn(stop, side),
        time_left=left,
        time_whole=whole,
        short_delta=_short_delta(w, contracts, sizes, greeks),
        at_risk=_at_risk(w, exits, contracts, sizes, greeks, left, rate) if "greeks" in applies else None,
        quoted=_quoted(w, found),
        age=age,
        max_age=max_age,
    )
    return health(vitals), price


def _time(
    account: Account, w: Watch, contracts: Mapping[str, Instrument], now: datetime
) -> tuple[Decimal | None, Decimal | None]:
    """Return the seconds to the first time exit or expiry, and the seconds from the opening to it."""
    ends = [at for at, rule in w.due if rule != "timeout"]
    expiries: list[date] = [
        contract.expiry for symbol, _ in w.legs if (contract := contracts.get(symbol)) and contract.expiry
    ]
    if expiries:
        ends.append(account.sessions.close_of(min(expiries)))
    if not ends:
        return None, None
    end = min(ends)
    return _seconds(now, end), _seconds(w.held.opened_at, end)


def _seconds(start: datetime, end: datetime) -> Decimal:
    return Decimal(str(max((end - start).total_seconds(), 0.0)))


def _short_delta(
    w: Watch, contracts: Mapping[str, Instrument], sizes: Mapping[str, Decimal], greeks: AccountGreeks | None
) -> Decimal | None:
    """Return the largest size of the delta of a short option leg, per unit; 0 where no option is short. `sizes`: units
    x multiplier of each position, by key.
    """
    worst = ZERO
    for symbol, weight in w.legs:
        contract = contracts.get(symbol)
        is_short = weight * w.held.side < 0
        if contract is None or contract.right is None or not is_short:
            continue
        key = f"{w.held.strategy}:{symbol}"
        known = greeks.positions.get(key) if greeks else None
        if known is None or known.units is None or not sizes.get(key):
            return None
        worst = max(worst, abs(divide(known.units, sizes[key])))
    return worst


def _at_risk(
    w: Watch,
    exits: AccountExits,
    contracts: Mapping[str, Instrument],
    sizes: Mapping[str, Decimal],
    greeks: AccountGreeks | None,
    left: Decimal | None,
    rate: Rate,
) -> Decimal | None:
    """Return what a move against a trade would cost until its end, for a day at most, as a share of one R; None where that
    is UNKNOWN. `left`: seconds to its end.
    """
    held = w.held
    point = max((c.multiplier for s, _ in w.legs if (c := contracts.get(s))), default=ZERO)
    delta = gamma = theta = highest = ZERO
    for symbol, weight in w.legs:
        key = f"{held.strategy}:{symbol}"
        known, size = (greeks.positions.get(key), sizes.get(key)) if greeks else (None, None)
        if not known or not size or known.delta is None or known.gamma is None or known.theta is None:
            return None
        volatility = greeks.volatilities.get(key, ZERO) if greeks else None
        if volatility is None:
            return None
        share = divide(weight * held.side * held.quantity * point, size)
        delta, gamma = delta + share * known.delta, gamma + share * known.gamma
        theta, highest = theta + share * known.theta, max(highest, volatility)
    distance = risk_of(w.plan, held, exits.trades.get(held.trade_id, FRESH)) or abs(held.entry)
    currencies = {c.currency for s, _ in w.legs if (c := contracts.get(s))}
    factor = rate(currencies.pop()) if len(currencies) == 1 else None
    if not distance or factor is None:
        return None
    days = ONE_DAY if left is None else min(divide(left, Decimal(86_400)), ONE_DAY)
    cost = move_cost(delta, gamma, theta, highest, days)
    return divide(cost, distance * held.quantity * point * factor)


def _quoted(w: Watch, found: Sequence[Mark | None]) -> Decimal | None:
    """Return ask less bid of one unit; None where a leg's quote is not two-sided."""
    total = ZERO
    for (_, weight), mark in zip(w.legs, found, strict=True):
        quote = mark.quote if mark else None
        if quote is None or not (quote.ask > 0 and quote.bid >= 0):
            return None
        ask, bid = to_decimal(quote.ask), to_decimal(quote.bid)
        if ask is None or bid is None:
            return None
        total = EXACT.add(total, EXACT.multiply(abs(weight), EXACT.subtract(ask, bid)))
    return total


def _shown(w: Watch, exits: AccountExits, found: Health, price: Decimal | None) -> dict[str, Any]:
    held, state = w.held, exits.trades.get(w.held.trade_id, FRESH)
    stop, target = levels_of(w.plan, held, state)
    return {
        "name": held.name,
        "strategy": held.strategy,
        "side": "long" if held.side > 0 else "short",
        "quantity": decimal_text(held.quantity),
        "entry": decimal_text(held.entry),
        "opened_at": utc_text(held.opened_at),
        "price": _text(price),
        "stop": _text(stop),
        "stop_rule": None if stop is None else stop_rule(w.plan, held, state),
        "target": _text(target),
        "asked": state.asked.rule if state.asked else None,
        "health": found.score,
        "health_unknown": found.unknown,
    }


def _strategy(state: StrategyState, unknown: bool) -> dict[str, Any]:
    """Return a strategy for people. `mtm` is that of now; `last` the last one known, of prices seen at `last_at`."""
    mtm = None if state.last is None else EXACT.subtract(state.last, state.base)
    return {
        "mtm": None if unknown else _text(mtm),
        "paused": unknown,
        "last": _text(mtm),
        "last_at": utc_text(state.counted_at) if state.counted_at else None,
        "peak": decimal_text(state.peak),
        "stop": _text(state.stop),
        "stop_rule": state.rule or None,
        "active": state.stopped is None or state.stopped.advisory,
        "stopped": None
        if state.stopped is None
        else {
            "rule": state.stopped.rule,
            "at": utc_text(state.stopped.at),
            "mtm": decimal_text(state.stopped.mtm),
            "level": decimal_text(state.stopped.level),
        },
    }


def _text(value: Decimal | None) -> str | None:
    return None if value is None else price_text(value)
