"""Trades that a book has forgotten and that change after all: they come back whole.

A trade that closed a day ago is forgotten. A bust, correction, fee or fill that comes later folds one position again; what
is told of the trade needs the legs of its other positions too, and those are in the fill log only.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from stopline.ledger.amend import effective
from stopline.ledger.trade import CLOSED_KEPT, group_legs
from stopline.ledger.trade_leg import TradeLeg, fold_legs
from stopline.ledger.trade_table import LegChanges
from stopline.model.fill import Fill

Legs = Mapping[str, Sequence[TradeLeg]]
Booked = Callable[[Fill], Sequence[Fill]]
"""Given a fill, return all booked fills of its position, with what amends them."""


@dataclass(slots=True)
class Recall:
    """`around`: given a strategy and two moments, the booked fills of all its positions executed between them.

    `stood`: the forgotten legs that a fold brought back, as they stood before it, by position.
    """

    around: Callable[[str, datetime, datetime], Iterable[Fill]] = lambda *_: ()
    stood: dict[str, list[TradeLeg]] = field(default_factory=dict)

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
            leg = due.pop()
            for fill in self._near(leg, now):
                if fill.position_key not in folded:
                    folded[fill.position_key] = fold_legs(effective(booked(fill)), method)
            for key, found in self._others(leg, changes, account, folded):
                self.stood.setdefault(key, []).append(found)
                changes.add(key, found)
                due.append(found)

    def _near(self, leg: TradeLeg, now: datetime) -> Iterable[Fill]:
        """Yield fills of the positions that legs of the same trade may be of."""
        last = now if leg.lots or leg.exit_at is None else leg.exit_at
        for fill in self.around(leg.strategy, leg.start[0] - CLOSED_KEPT, last + CLOSED_KEPT):
            if fill.instrument.underlying == leg.instrument.underlying:
                yield fill

    def _others(
        self, leg: TradeLeg, changes: LegChanges, account: str, folded: Legs
    ) -> list[tuple[str, TradeLeg]]:
        """Return the forgotten legs of the trade that a leg is of now, or was of, with the keys of their positions."""
        scope = {(leg.strategy, leg.instrument.underlying)}
        worlds = (changes.table().of_scopes(scope), _joined(changes.before.of_scopes(scope), self.stood))
        known = {(key, each.start) for held in worlds for key, legs in held.items() for each in legs}
        lost = {
            id(each): (key, each)
            for key, legs in folded.items()
            for each in legs
            if (key, each.start) not in known
        }
        found: dict[int, tuple[str, TradeLeg]] = {}
        for held in worlds:
            for trade in group_legs(account, [*_each(held), *(each for _, each in lost.values())]):
                if any(each is leg for each in trade.legs):
                    found |= {id(each): lost[id(each)] for each in trade.legs if id(each) in lost}
        return list(found.values())


def _joined(one: Legs, other: Legs) -> Legs:
    return {key: [*one.get(key, ()), *other.get(key, ())] for key in one.keys() | other.keys()}


def _each(table: Legs) -> Iterable[TradeLeg]:
    return (leg for legs in table.values() for leg in legs)
