"""The exits of many trades at once: cheap columns find the few that a batch of prices may concern, and only
these are worked out exactly.
"""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from math import inf, nextafter

import numpy as np

from stopline.model.decimals import EXACT, ZERO
from stopline.risk.border import to_decimal
from stopline.risk.exit_bands import Bands, legs
from stopline.rules.exits.plan import Plan
from stopline.rules.exits.state import FRESH, ExitState, Held, Reading
from stopline.rules.exits.trade_exits import Band, Step, advance, band

SLACK = 1e-9  # of a bound, or of a unit's legs at a price of 1: more than what float64 loses of a sum of legs

Due = tuple[tuple[datetime, str], ...]


@dataclass(frozen=True, slots=True)
class Watch:
    """A trade, its plan and deadlines, and its legs: symbols with their weights in the price of one unit."""

    held: Held
    plan: Plan
    due: Due
    legs: tuple[tuple[str, Decimal], ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """A symbol's price and when it was seen, as seconds since 1970; NaN and -inf where there is none."""

    price: float
    at: float


NOTHING = Seen(float("nan"), -inf)


class ExitTable:
    """Watched trades with what is remembered of each. `sync` brings it to another state with little work."""

    def __init__(self, watched: Sequence[Watch], states: Mapping[str, ExitState], now: datetime) -> None:
        self.watched = watched
        self._ids = [w.held.trade_id for w in watched]
        self._states = [states.get(id_, FRESH) for id_ in self._ids]
        rows: dict[str, int] = {}
        self._legs = legs(
            [[(rows.setdefault(s, len(rows)), float(weight)) for s, weight in w.legs] for w in watched]
        )
        self.symbols = list(rows)
        self._bands = Bands(len(watched))
        self._odd: set[int] = set()
        for row, state in enumerate(self._states):
            self._set(row, state, now, is_new=True)

    @property
    def has_odd(self) -> bool:
        """Tell whether the legs of a trade are not in the proportion that is remembered of it."""
        return bool(self._odd)

    def sync(self, states: Mapping[str, ExitState], now: datetime) -> None:
        """Take the states that stand now: those that are other objects than before are laid out again."""
        known = [states.get(id_, FRESH) for id_ in self._ids]
        others = [
            row for row, (new, old) in enumerate(zip(known, self._states, strict=True)) if new is not old
        ]
        self._states = known
        for row in others:
            self._set(row, known[row], now)

    def steps(
        self,
        marks: Mapping[str, Seen],
        now: datetime,
        closing: Container[str] = (),
        begins: datetime | None = None,
    ) -> tuple[list[tuple[Watch, Step]], list[Watch]]:
        """Return what the marks and the time do: the steps that change something, and the trades whose price
        is unknown or too old although their exits need one. `closing`: ids of trades that anybody is closing; `begins`:
        when the session did.

        The table itself stays as it is until `sync`: what was not committed has not happened.
        """
        seen = [marks.get(symbol, NOTHING) for symbol in self.symbols]
        prices = self._legs.prices(np.array([s.price for s in seen], dtype=np.float64))
        oldest = self._legs.oldest(np.array([s.at for s in seen], dtype=np.float64))
        at = now.timestamp()
        changed = []
        for row in self._bands.candidates(prices, oldest, at).tolist():
            w = self.watched[row]
            before = self._states[row]
            reading, id_ = self._reading(w, marks, now), w.held.trade_id
            step = advance(w.plan, w.held, before, reading, w.due, now, id_ in closing, begins)
            if step.state != before or step.exit or step.stuck:
                changed.append((w, step))
            else:
                self._set(row, before, now)
        stale = np.flatnonzero(self._bands.is_stale(prices, oldest, at)).tolist()
        return changed, [self.watched[row] for row in stale if self._needs_price(row)]

    def _needs_price(self, row: int) -> bool:
        asked = self._states[row].asked
        return self.watched[row].plan.watches_price and not (asked and not asked.leave and not asked.advisory)

    def _reading(self, w: Watch, marks: Mapping[str, Seen], now: datetime) -> Reading | None:
        """Return a trade's price exactly, or None where a leg's is unknown or too old."""
        price, times = ZERO, []
        for symbol, weight in w.legs:
            seen = marks.get(symbol, NOTHING)
            exact = to_decimal(seen.price)
            if exact is None or now.timestamp() - seen.at > w.plan.price_max_age.total_seconds():
                return None
            price = EXACT.add(price, EXACT.multiply(weight, exact))
            times.append(seen.at)
        moments = [datetime.fromtimestamp(t, now.tzinfo) for t in (min(times), max(times))]
        return Reading(price, moments[0], moments[1])

    def _set(self, row: int, state: ExitState, now: datetime, is_new: bool = False) -> None:
        w = self.watched[row]
        if state.shape and state.shape != w.held.shape:
            self._odd.add(row)
        else:
            self._odd.discard(row)
        found = band(w.plan, w.held, state, w.due, now)
        size = sum(abs(float(weight)) for _, weight in w.legs) if len(w.legs) > 1 else 0.0
        low, high = _bounds(found, w.held.side, size)
        due = None if found.due is None else found.due.timestamp()
        age = w.plan.price_max_age.total_seconds()
        self._bands.set(row, low, high, due, found.watch or (is_new and w.plan.watches_price), age)


def _bounds(found: Band, side: int, size: float) -> tuple[float | None, float | None]:
    """Return a band as floats. A price at a bound is out of it, the best price itself is within. `size`: the legs of a
    unit, for bounds near 0: their prices cancel out, what float64 loses of them does not. 0 for one leg, which loses
    nothing.
    """
    lows = [] if found.low is None else [float(found.low) + SLACK * max(abs(float(found.low)), size)]
    highs = [] if found.high is None else [float(found.high) - SLACK * max(abs(float(found.high)), size)]
    if found.best is not None and side > 0:
        highs.append(nextafter(float(found.best), inf))
    elif found.best is not None:
        lows.append(nextafter(float(found.best), -inf))
    return max(lows, default=None), min(highs, default=None)
