"""Circuit breakers: what trips them, what they do, and what resets each (the reset matrix).

A first bad reading refuses what adds risk. Where a breaker flattens, a second reading must agree before it does, of newer
prices of everything that is open: one bad price is not two readings. If the second is good the first is taken back. Money
breakers are lifted by people, and trading goes on at a quarter of the size until a person lifts that too; only a losing
streak cools down by time. What people lift stays tripped until they have, however good the value is by then. Once they have
lifted it while the value is still bad, it trips again where the value goes `FURTHER` beyond the last one of before, or is
bad after a good one; where it was not bad then, at the threshold. UNKNOWN neither trips nor clears a breaker: data that are
missing have breakers of their own. But where what is sure is beyond the threshold already, that is the reading.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal

from stopline.model.calendars import Calendar
from stopline.model.decimals import ZERO, decimal_text
from stopline.model.ids import digest
from stopline.model.settings.trading import TradingSettings
from stopline.rules.limits.registry import LIMITS
from stopline.rules.trading.reset import BY_A_PERSON, DRAWDOWN, FURTHER, GOOD_DATA, MONEY, Reset, ResetRule
from stopline.rules.trading.second_reading import CONFIRM_AFTER, NO_PRICES, PriceTimes

CLEAR_AT = Decimal("0.95")  # of the threshold: a breaker is clear only below it


def reset_of(limit: str) -> ResetRule:
    """Return what ends the stop that a limit has brought; of one that is no more, a person does."""
    return LIMITS[limit].ends if limit in LIMITS else BY_A_PERSON


@dataclass(frozen=True, slots=True)
class Breaker:
    """One breaker: trips where its fact is above `threshold`. `optional`: off unless the account's settings name it."""

    name: str
    fact: str
    threshold: Decimal
    unit: str
    what: str  # for people: "{what} is {number}"
    flatten: bool
    rule: ResetRule
    good_readings: int = 1  # in a row, to clear it
    of_prices: bool = True  # a second reading needs newer ones
    optional: bool = False


def _breaker(
    name: str,
    fact: str,
    threshold: str,
    unit: str,
    what: str,
    rule: ResetRule,
    *,
    flatten: bool = False,
    good: int = 1,
    of_prices: bool = True,
    optional: bool = False,
) -> Breaker:
    return Breaker(name, fact, Decimal(threshold), unit, what, flatten, rule, good, of_prices, optional)


MONEY_BREAKERS = (
    _breaker("loss", "loss", "10", "%", "loss of the capital", MONEY),
    _breaker("profit_target", "profit", "20", "%", "profit on the capital", BY_A_PERSON, optional=True),
    _breaker("emergency_daily_loss", "daily_loss", "15", "%", "loss of the day", DRAWDOWN, flatten=True),
    _breaker("emergency_drawdown", "drawdown", "30", "%", "drawdown", DRAWDOWN, flatten=True),
    _breaker(
        "risk_critical", "drawdown", "20", "%", "drawdown (risk level CRITICAL)", DRAWDOWN, flatten=True
    ),
    _breaker(
        "too_many_positions",
        "positions",
        "20",
        "",
        "number of positions (a spread is one)",
        MONEY,
        flatten=True,
        of_prices=False,
    ),
)
HEALTH_BREAKERS = (
    _breaker("broker_down", "broker_errors", "0", "", "number of failures of the broker", GOOD_DATA, good=3),
    _breaker("api_failing", "api_errors", "4", "", "number of failed requests in a row", GOOD_DATA, good=3),
    _breaker("latency", "latency_ms", "2000", "ms", "time the broker takes to answer", GOOD_DATA, good=3),
    _breaker("stale_data", "unpriced", "0", "", "number of positions without a price", GOOD_DATA, good=2),
    _breaker(
        "contradictory_data", "breaks", "0", "", "number of differences from the broker", GOOD_DATA, good=2
    ),
)
ACTIVITY_BREAKER = _breaker(
    "unusual_activity",
    "unusual",
    "0",
    "",
    "number of unusual things that stop trading",
    ResetRule(Reset.PERSON),
)
BREAKERS: Mapping[str, Breaker] = {b.name: b for b in (*MONEY_BREAKERS, *HEALTH_BREAKERS, ACTIVITY_BREAKER)}


NOTHING_SURE: Mapping[str, Decimal | None] = {}


@dataclass(frozen=True, slots=True)
class Tripped:
    """A breaker that is not clear: since when, whether a second reading has agreed, good readings in a row.

    `request_id`: of the pause that it has asked for; empty: not known. `level`: the last value that was known to be read
    while its stop held; None: not known. `lifted`: people have lifted the stop, and the value is bad all the same.
    `prices_at`: the newest price of the first bad reading; None: not known, or it had none.
    """

    since: datetime
    confirmed: bool
    good: int = 0
    request_id: str = ""
    level: Decimal | None = None
    lifted: bool = False
    prices_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """What a breaker wants done: `pause`, `kill` (flatten) or `release`. The last two name its pause (`releases`)."""

    breaker: Breaker
    action: str
    current: Decimal
    threshold: Decimal
    request_id: str = ""
    releases: str = ""
    at_least: bool = False

    @property
    def reason(self) -> str:
        number, limit = (
            f"{decimal_text(round(v, 2))}{self.breaker.unit}" for v in (self.current, self.threshold)
        )
        if self.action == "release":
            return f"{self.breaker.what} is {number}, limit {limit}: clear again"
        return f"{self.breaker.what} is {'at least ' if self.at_least else ''}{number}, limit {limit}"


def advance(
    breakers: Sequence[Breaker],
    settings: TradingSettings,
    before: Mapping[str, Tripped],
    facts: Mapping[str, Decimal | None],
    now: datetime,
    account: str = "",
    cause: str = "",
    lifted: Mapping[str, str] | None = None,
    prices: Callable[[], PriceTimes] = lambda: NO_PRICES,
    sure: Mapping[str, Decimal | None] = NOTHING_SURE,
) -> tuple[dict[str, Tripped], list[Move]]:
    """Return which breakers are not clear after a reading, and what they want done. A fact of None, or none at all, is
    UNKNOWN: the breaker stays as it is. `cause` gives a move its id: the same cause, the same one. `lifted`: those whose
    stop people have lifted, each with the pause that came in place of its kill, if any; None: nobody has looked. `prices`
    of the reading: asked for where a breaker closes. `sure`: what is UNKNOWN is no less than this, which trips a breaker and
    clears none.
    """
    after: dict[str, Tripped] = {}
    moves: list[Move] = []
    for breaker in breakers:
        known, value = before.get(breaker.name), facts.get(breaker.fact)
        threshold, at_least = threshold_of(breaker, settings), sure.get(breaker.fact)
        is_bound = value is None and at_least is not None and threshold is not None and at_least > threshold
        value = at_least if is_bound else value
        if threshold is None or value is None:
            if known is not None and threshold is not None:
                after[breaker.name] = known
            continue
        if known is not None and lifted is not None:
            known = _looked_at(known, lifted.get(breaker.name), value, now)
        standing, action = _read(breaker, known, value, threshold, now, prices)
        id_ = digest("breaker", account, breaker.name, action, cause)
        if action == "pause" and standing is not None:
            standing = replace(standing, request_id=id_)
        if standing is not None:
            after[breaker.name] = standing
        if action:
            releases = known.request_id if known is not None and action != "pause" else ""
            moves.append(Move(breaker, action, value, threshold, id_, releases, is_bound))
    return after, moves


def awaits_second(before: Mapping[str, Tripped]) -> bool:
    """Tell whether the next reading may close: whether people have lifted the stop must be looked at before."""
    return any(not known.confirmed for known in before.values())


def _looked_at(known: Tripped, lifted: str | None, value: Decimal, now: datetime) -> Tripped | None:
    """Return a breaker after a look at its stop: while that holds, the value is noted from which it may get worse. What
    people lifted before a second reading, or before that was carried out, begins anew with the next one. `lifted`: None: it
    holds; else the pause in place of its kill, or empty.
    """
    if not known.confirmed:
        return known if lifted is None else None
    if lifted:
        return Tripped(now, confirmed=False, request_id=lifted, level=value)
    if lifted is None:
        return replace(known, level=value, lifted=False)
    return replace(known, level=value if known.level is None else known.level, lifted=True)


def _read(
    breaker: Breaker,
    known: Tripped | None,
    value: Decimal,
    threshold: Decimal,
    now: datetime,
    prices: Callable[[], PriceTimes],
) -> tuple[Tripped | None, str]:
    """Return what stands of one breaker after one reading, and what it wants done, if anything."""
    if value > threshold:
        seen = prices() if breaker.flatten and breaker.of_prices else NO_PRICES
        if known is None or (known.lifted and value > _trips_again_above(known, threshold)):
            first = Tripped(now, confirmed=not breaker.flatten, level=value, prices_at=seen.newest)
            return first, "pause"
        known = replace(known, good=0, prices_at=known.prices_at or seen.newest)
        if known.confirmed or now - known.since < CONFIRM_AFTER:
            return known, ""
        if not breaker.of_prices or seen.are_newer(known.prices_at):
            return replace(known, confirmed=True, level=value), "kill"
        return known, ""
    if known is None:
        return None, ""
    if value > threshold * CLEAR_AT and threshold > ZERO:
        return known, ""  # neither bad nor clear
    if not known.confirmed:
        return None, "release"  # the second reading does not agree
    good = known.good + 1
    if good < breaker.good_readings:
        return replace(known, good=good), ""
    if breaker.rule.reset is Reset.READINGS:
        return None, "release"
    return (None if known.lifted else replace(known, good=breaker.good_readings)), ""


def _trips_again_above(known: Tripped, threshold: Decimal) -> Decimal:
    """Return what a breaker whose stop people have lifted trips above."""
    if known.good or known.level is None or known.level <= threshold:
        return threshold
    return known.level + threshold * FURTHER


def in_session(tripped: Mapping[str, Tripped], before: date | None, now: date) -> Mapping[str, Tripped]:
    """Return what stands as the reading of a session finds it: of another one's, what was lost that day says nothing."""
    of_the_day = {b.name for b in MONEY_BREAKERS if b.fact == "daily_loss"}
    daily = {name: one for name, one in tripped.items() if name in of_the_day}
    if before in (None, now) or not daily:
        return tripped
    return {**tripped, **{name: replace(one, level=ZERO) for name, one in daily.items()}}


def threshold_of(breaker: Breaker, settings: TradingSettings) -> Decimal | None:
    """Return what the breaker trips above; None: it is off."""
    setting = settings.breakers.get(breaker.name)
    if setting is None:
        return None if breaker.optional else breaker.threshold
    if not setting.enabled:
        return None
    return breaker.threshold if setting.threshold is None else setting.threshold


def is_bad(breaker: Breaker, settings: TradingSettings, facts: Mapping[str, Decimal | None]) -> bool:
    """Tell whether facts are beyond what the breaker trips above. UNKNOWN is not."""
    value, threshold = facts.get(breaker.fact), threshold_of(breaker, settings)
    return value is not None and threshold is not None and value > threshold


def rule_of(actor: str) -> ResetRule | None:
    """Return what ends the stop of a limit or breaker, by the actor that it acts as; None for people."""
    kind, _, name = actor.partition(":")
    if kind == "breaker" and name in BREAKERS:
        return BREAKERS[name].rule
    return reset_of(name) if kind == "limit" else None


def ends_at(rule: ResetRule, sessions: Calendar, cool_down: timedelta, now: datetime) -> datetime | None:
    """Return when a stop ends by itself; None where it does not."""
    match rule.reset:
        case Reset.SESSION:
            return sessions.next_start(now)
        case Reset.TIME:
            return now + cool_down
        case Reset.WEEK | Reset.MONTH:
            return _next_period(rule.reset, sessions, now)
    return None


def _next_period(reset: Reset, sessions: Calendar, now: datetime) -> datetime:
    """Return the start of the first session of the next week (from Monday) or month."""
    this = sessions.session_of(now)
    day = this
    while True:
        day += timedelta(days=1)
        new = (
            day.isocalendar()[:2] != this.isocalendar()[:2]
            if reset is Reset.WEEK
            else day.month != this.month
        )
        if new and sessions.is_session(day):
            return sessions.session_start(day)


def check_settings(settings: TradingSettings) -> list[str]:
    """Return what is wrong with an account's breaker settings, one line each."""
    faults = [
        f"trading.breakers.{name}: there is no such breaker; there are {', '.join(BREAKERS)}"
        for name in settings.breakers
        if name not in BREAKERS
    ]
    for name, setting in settings.breakers.items():
        if setting.threshold is not None and not ZERO <= setting.threshold <= Decimal(10) ** 6:
            faults.append(
                f"trading.breakers.{name}.threshold: must be from 0 to 1000000, was {setting.threshold}"
            )
    return faults
