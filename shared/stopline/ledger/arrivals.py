"""What is new of each position: its fills, and what amends them, whether that comes with them or has waited for them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from stopline.ledger.amend import (
    Find,
    any_day_key,
    is_amendment,
    on_its_day,
    on_its_fill,
    root_of,
    says_no_day,
    target_key,
)
from stopline.ledger.bookings import names_row, number_of, other_keys
from stopline.ledger.position import Position
from stopline.model.errors import Rejected
from stopline.model.fill import Fill, FillKind

MAX_HELD = (
    100  # amendments that wait for their fill: more is a broker gone wrong, and would swell the document
)
Held = dict[str, tuple[Fill, ...]]


@dataclass(slots=True)
class Arrivals:
    """What is new of one position. `home`: any fill of it. `late_fees` change nothing but sums: (fee, its fill).

    `doubtful`: a fill has come that an amendment of the log may mean, which says no day.
    """

    home: Fill
    trades: list[Fill] = field(default_factory=list)
    late_fees: list[tuple[Fill, Fill]] = field(default_factory=list)
    amended: list[Fill] = field(default_factory=list)
    doubtful: bool = False

    def add(self, amendment: Fill, root: Fill) -> None:
        """Add an amendment of one of the position's fills. A fee that is timed before its fill may lie beyond the point
        where the position is folded again from; one of a row that was read before counts once.
        """
        plain = amendment.kind is FillKind.FEE and target_key(amendment) == root.key
        plain = plain and number_of(amendment) is None
        if plain and amendment.order > root.order and amendment.fee_currency != root.instrument.base:
            self.late_fees.append((amendment, root))
        else:
            self.amended.append(amendment)

    @property
    def events(self) -> list[Fill]:
        return [*self.trades, *self.amended, *(fee for fee, _ in self.late_fees)]


@dataclass(frozen=True, slots=True)
class Reader:
    """Finds fills among the new ones and the booked ones."""

    new: Mapping[str, Fill]
    find: Find
    log: Callable[[None, Fill], Sequence[Fill]]

    def known(self, key: str) -> Fill | None:
        """Return a fill by its key, with its `ref` as the fill that it is about."""
        fill = self._get(key)
        return None if fill is None else self.resolved(fill)

    def resolved(self, fill: Fill) -> Fill:
        """Return a fill with its `ref` as the fill that it is about, where it says no day, or names a trade or a row."""
        if says_no_day(fill):
            return on_its_day(fill, self._beside(fill))
        if is_amendment(fill) and names_row(fill) and self._get(target_key(fill)) is None:
            return on_its_fill(fill, self._beside(fill))
        return fill

    def undated(self, fill: Fill) -> Iterator[Fill]:
        """Yield the booked amendments that give the number of a fill and not its day."""
        key = any_day_key(fill)
        for other in self.log(None, fill):
            if other.key not in self.new and says_no_day(other) and target_key(on_its_day(other, ())) == key:
                yield other

    def _get(self, key: str) -> Fill | None:
        return self.new.get(key) or self.find(key)

    def _beside(self, fill: Fill) -> list[Fill]:
        """Return the fills of a fill's position."""
        new = [other for other in self.new.values() if other.position_key == fill.position_key]
        return [*self.log(None, fill), *new]


def by_position(
    new: Mapping[str, Fill], held: Held, positions: Mapping[str, Position], reader: Reader
) -> dict[str, Arrivals]:
    """Sort new fills into positions, amendments into those of the fills that they are about.

    `held` is changed: amendments whose fill is not there go in, those whose fill comes go out.
    """
    groups: dict[str, Arrivals] = {}
    amendments = [fill for fill in new.values() if is_amendment(fill)]
    amendments += _of_an_older_version(held)
    doubtful: dict[str, Fill] = {}
    for fill in sorted(new.values(), key=_order):
        for key in (fill.key, any_day_key(fill), *other_keys(fill)):
            amendments += held.pop(key, ()) if key else ()
        if not is_amendment(fill):
            group = groups.setdefault(fill.position_key, Arrivals(fill))
            group.trades.append(fill)
            if _may_be_meant(fill, positions.get(fill.position_key)):
                group.doubtful = True
                doubtful |= {other.key: other for other in reader.undated(fill)}
    for amendment in sorted(amendments, key=_order):
        about = reader.resolved(amendment)
        key, root = root_of(about, reader.known)
        own = amendment.position_key
        home = own if root is None else root.position_key
        if root is None or home != own:  # the position's log will not have it
            _hold(held, key, amendment)
        if root is not None:
            groups.setdefault(home, Arrivals(root)).add(about, root)
    for amendment in doubtful.values():
        key, root = root_of(reader.resolved(amendment), reader.known)
        if root is None:
            _hold(held, key, amendment)
    return groups


def _of_an_older_version(held: Held) -> list[Fill]:
    """Take out the amendments that an older version held under the day of their report: their fill may be there since, of a
    day before, and that version did not find it. They are looked at once more, and wait as they should.
    """
    stuck = {
        key for key, fills in held.items() if any(says_no_day(f) and target_key(f) == key for f in fills)
    }
    return [fill for key in sorted(stuck) for fill in held.pop(key)]


def _may_be_meant(fill: Fill, position: Position | None) -> bool:
    """Tell whether a booked amendment of a position that says no day may mean a new fill."""
    until = position.undated_until if position else None
    return until is not None and fill.executed_at.replace(microsecond=0) <= until


def _hold(held: Held, key: str, amendment: Fill) -> None:
    others = held.get(key, ())
    if all(other.key != amendment.key for other in others):
        held[key] = (*others, amendment)


def _order(fill: Fill) -> tuple[datetime, str]:
    return fill.order


def check_held(before: Mapping[str, tuple[Fill, ...]], after: Mapping[str, tuple[Fill, ...]]) -> None:
    """Raise Rejected when more amendments wait for their fills than a book may hold, and not just as many as before."""
    count = sum(len(fills) for fills in after.values())
    if count > MAX_HELD and count > sum(len(fills) for fills in before.values()):
        raise Rejected(
            "TOO_MANY_HELD",
            f"{MAX_HELD} amendments wait for fills that have not come: find those first, then redrive this one",
        )
