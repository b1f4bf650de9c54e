"""What is new of each position: its fills, and what amends them, whether that comes with them or has waited for them."""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
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
from stopline.model.fill import NEEDS_REF, Fill, FillKind, Place

MAX_HELD = 100
"""Amendments that wait for their fill, which is not booked: more is a broker gone wrong, and would swell the document."""
Held = dict[str, tuple[Fill, ...]]


class TooManyHeld(Rejected):
    """A book has no room for `amendments`, by key, to wait in for their fills."""

    def __init__(self, amendments: Sequence[str]) -> None:
        super().__init__(
            "TOO_MANY_HELD",
            f"{MAX_HELD} amendments wait for fills that have not come: find those first, then redrive this one",
        )
        self.amendments = frozenset(amendments)


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
        """Add an amendment of one of the position's fills."""
        if only_adds(amendment, root):
            self.late_fees.append((amendment, root))
        else:
            self.amended.append(amendment)

    def is_beyond(self, position: Position | None) -> bool:
        """Tell whether late fees are of fills behind all amended ones: they stand as they are, and their fees only add."""
        until = position.amended_until if position and not position.undated_until else None
        return all(until is not None and root.order > until for _, root in self.late_fees)

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

    def root(self, amendment: Fill) -> tuple[str, Fill | None]:
        """Return the key of the fill that an amendment is about in the end, and the fill; None where it is not known."""
        return root_of(self.resolved(amendment), self.known)

    def home(self, fill: Fill) -> Fill:
        """Return the fill in whose position one counts: itself, or what it is about in the end, where that is known."""
        return (self.root(fill)[1] if is_amendment(fill) else None) or fill

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


def only_adds(amendment: Fill, root: Fill) -> bool:
    """Tell whether an amendment changes nothing but sums: a fee. One that is timed before its fill may lie beyond the point
    where the position is folded again from; one of a row that was read before counts once.
    """
    plain = amendment.kind is FillKind.FEE and target_key(amendment) == root.key
    plain = plain and number_of(amendment) is None
    return plain and amendment.order > root.order and amendment.fee_currency != root.instrument.base


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
        key, root = reader.root(amendment)
        if root is None:
            _hold(held, key, amendment)
        else:
            groups.setdefault(root.position_key, Arrivals(root)).add(reader.resolved(amendment), root)
    for amendment in doubtful.values():
        key, root = reader.root(amendment)
        if root is None:
            _hold(held, key, amendment)
    return groups


def amended_until(fills: Iterable[Fill]) -> Place | None:
    """Return the place of the newest of a position's fills that another one changes otherwise than by a plain fee; of the
    oldest one where there is none.
    """
    known = {fill.key: fill for fill in fills}
    reader = Reader(known, known.get, lambda *_: ())
    amended = ((fill, reader.home(fill)) for fill in known.values() if is_amendment(fill))
    oldest = min((fill.order for fill in known.values()), default=None)
    return max(
        (of.order for fill, of in amended if of is not fill and not only_adds(fill, of)), default=oldest
    )


def amended_beyond(known: Sequence[Fill], held: Mapping[str, Sequence[Fill]]) -> bool:
    """Tell whether booked fills, from some point on, may not be all that counts from there: one is amended of a time that
    the book has forgotten, or by what is held, or has a fee that is timed before it.
    """
    places = {fill.key: fill.order for fill in known}
    return any(
        fill.kind in NEEDS_REF
        or fill.key in held
        or (is_amendment(fill) and fill.order < places.get(target_key(fill), fill.order))
        for fill in known
    )


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


def check_held(held: Held, new: Mapping[str, Fill], find: Find) -> None:
    """Raise TooManyHeld where more amendments wait for their fills than a book may hold: for those of the new ones that are
    too many. `held`: with them. What an older version held of a fill that is booked waits for nothing.
    """
    came = sorted((fill for some in held.values() for fill in some if fill.key in new), key=_order)
    if not came or sum(map(len, held.values())) <= MAX_HELD:
        return
    waiting = sum(len(some) for key, some in held.items() if find(key) is None)
    if waiting > MAX_HELD:
        raise TooManyHeld([fill.key for fill in came[MAX_HELD - waiting :]])


def without(held: Mapping[str, Sequence[Fill]], booked: Container[str]) -> Held:
    """Return what is held without what is about booked fills, by key: the first 100 of it, as one commit has room for."""
    gone = {fill.key for key in held if key in booked for fill in held[key]}
    gone = set(sorted(gone)[:MAX_HELD])
    left = {key: tuple(fill for fill in some if fill.key not in gone) for key, some in held.items()}
    return {key: some for key, some in left.items() if some}


def freed(before: Mapping[str, Sequence[Fill]], held: Mapping[str, Sequence[Fill]]) -> list[Fill]:
    """Return the amendments that were held before and are not any more."""
    if not before:
        return []
    waits = {fill.key for some in held.values() for fill in some}
    return [fill for some in before.values() for fill in some if fill.key not in waits]
