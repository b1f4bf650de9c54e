"""Trades that a book has forgotten and that change after all: they come back whole.

A trade that closed a day ago is forgotten. A bust, correction, fee or fill that comes later folds one position again; what
is told of the trade needs the legs of its other positions too, and those are in the fill log only.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from stopline.ledger.amend import effective
from stopline.ledger.trade import CLOSED_KEPT, group_legs
from stopline.ledger.trade_leg import TradeLeg, fold_legs
from stopline.ledger.trade_table import LegChanges
from stopline.model.fill import Fill

DAY = timedelta(days=1)
Legs = Mapping[str, Sequence[TradeLeg]]
Booked = Callable[[Fill], Sequence[Fill]]
"""Given a fill, return all booked fills of its position, with what amends them."""


@dataclass(slots=True)
class Recall:
    """`around`: given a strategy and two moments, the booked fills of all its positions executed between them. It is asked
    once about each day, whatever comes.

    `stood`: the forgotten legs that a fold brought back, as they stood before it, by position.
    """

    around: Callable[[str, datetime, datetime], Iterable[Fill]] = lambda *_: ()
    stood: dict[str, list[TradeLeg]] = field(default_factory=dict)
    _days: dict[tuple[str, datetime], list[Fill]] = field(default_factory=dict)

    def bring_back(
        self, changes: LegChanges, account: str, method: str, booked: Booked, now: datetime
    ) -> None:
        """Add to changed legs, and to `stood`, the forgotten ones of the trades that they are or were of."""
        due = list(changes.came(now))
        for key, legs in changes.forgotten.items():
            self.stood.setdefault(key, []).extend(legs)
            due += legs
        folded: dict[str, list[TradeLeg]] = {}
        while due:
            for fill in self._near(due, now):
                if fill.position_key not in folded:
                    folded[fill.position_key] = fold_legs(effective(booked(fill)), method)
            found = self._others(due, changes, account, folded)
            for key, leg in found:
                self.stood.setdefault(key, []).append(leg)
                changes.add(key, leg)
            due = [leg for _, leg in found]

    def _near(self, legs: Sequence[TradeLeg], now: datetime) -> Iterator[Fill]:
        """Yield fills of the positions that legs of the same trades may be of."""
        scopes = _scopes(legs)
        for strategy in sorted({leg.strategy for leg in legs}):
            for first, last in _stretches([leg for leg in legs if leg.strategy == strategy], now):
                for fill in self._read(strategy, first, last):
                    if (fill.strategy, fill.instrument.underlying) in scopes:
                        yield fill

    def _read(self, strategy: str, first: datetime, last: datetime) -> Iterator[Fill]:
        """Yield a strategy's fills between two moments."""
        begin = _midnight(first)
        days = [begin + number * DAY for number in range((last - begin) // DAY + 1)]
        missing = {day for day in days if (strategy, day) not in self._days}
        if missing:
            self._days |= {(strategy, day): [] for day in missing}
            for fill in self.around(strategy, min(missing), max(missing) + DAY):
                if (day := _midnight(fill.executed_at)) in missing:
                    self._days[strategy, day].append(fill)
        for day in days:
            yield from (fill for fill in self._days[strategy, day] if first <= fill.executed_at <= last)

    def _others(
        self, legs: Sequence[TradeLeg], changes: LegChanges, account: str, folded: Legs
    ) -> list[tuple[str, TradeLeg]]:
        """Return the forgotten legs of the trades that legs are of now, or were of, with the keys of their positions."""
        scopes, due = _scopes(legs), {id(leg) for leg in legs}
        worlds = (changes.table().of_scopes(scopes), _joined(changes.before.of_scopes(scopes), self.stood))
        known = {(key, each.start) for held in worlds for key, some in held.items() for each in some}
        lost = {
            id(each): (key, each)
            for key, some in folded.items()
            for each in some
            if (key, each.start) not in known
        }
        found: dict[int, tuple[str, TradeLeg]] = {}
        for held in worlds:
            for trade in group_legs(account, [*_each(held), *(each for _, each in lost.values())]):
                if any(id(each) in due for each in trade.legs):
                    found |= {id(each): lost[id(each)] for each in trade.legs if id(each) in lost}
        return list(found.values())


def _scopes(legs: Iterable[TradeLeg]) -> set[tuple[str, str]]:
    return {(leg.strategy, leg.instrument.underlying) for leg in legs}


def _stretches(legs: Iterable[TradeLeg], now: datetime) -> list[tuple[datetime, datetime]]:
    """Return the times in which legs of the same trades may have been open, without what overlaps."""
    found: list[tuple[datetime, datetime]] = []
    for leg in sorted(legs, key=lambda leg: leg.start):
        over = now if leg.lots or leg.exit_at is None else leg.exit_at
        first, last = leg.start[0] - CLOSED_KEPT, over + CLOSED_KEPT
        if found and first <= found[-1][1]:
            first, last = found[-1][0], max(last, found.pop()[1])
        found.append((first, last))
    return found


def _midnight(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _joined(one: Legs, other: Legs) -> Legs:
    return {key: [*one.get(key, ()), *other.get(key, ())] for key in one.keys() | other.keys()}


def _each(table: Legs) -> Iterable[TradeLeg]:
    return (leg for legs in table.values() for leg in legs)
