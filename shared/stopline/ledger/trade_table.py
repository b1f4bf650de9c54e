"""The legs of a book's trades, by position: read from the document when somebody asks, changed with the fills.

A book keeps the legs of open trades, and those of closed ones for a day. In the document a leg is what differs
from the usual: one lot, all of it open, the only leg of its position.
"""

from collections import deque
from collections.abc import Container, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from stopline.ledger.amend import Effective
from stopline.ledger.position import Lot, Position
from stopline.ledger.position_table import PositionTable
from stopline.ledger.trade import CLOSED_KEPT, Trade, closed_before, group_legs
from stopline.ledger.trade_leg import KNOWN_FILLS, UNSPLIT, Step, TradeLeg, add_late_fee, fold_legs
from stopline.model.decimals import EXACT, ZERO, decimal_text, divide
from stopline.model.fill import Fill, FillKind, Place
from stopline.model.instrument import Instrument
from stopline.model.times import utc_text

Raw = list[dict[str, Any]]
Scope = tuple[str, str]
MOST_CLOSED = 600  # legs: a book must stay small on the busiest day too


class LegTable(Mapping[str, Sequence[TradeLeg]]):
    """Legs by position key, in the order in which they were opened. Never changed: `replaced` makes another.

    `raw` is as it was read, beside the `positions` of the same document. `lost`: where legs began that the
    document holds without their contract; what they are is in the fill log only (`found`).
    """

    def __init__(
        self,
        legs: Mapping[str, Sequence[TradeLeg]] | None = None,
        raw: Mapping[str, Raw] | None = None,
        positions: Mapping[str, Position] | None = None,
        lost: Mapping[str, Sequence[Place]] | None = None,
    ) -> None:
        self._raw = dict(raw or {})
        self.lost = dict(lost or {})
        self._legs = {
            key: tuple(some) for key, some in (legs or {}).items()
        }  # several threads may add read ones
        self._positions = PositionTable.of(positions or {})
        self._keys = sorted([*self._raw, *(key for key in self._legs if key not in self._raw)])
        self._trades: Sequence[Trade] | None = None
        self._by_id: Mapping[str, Trade] | None = None

    def __repr__(self) -> str:
        return f"LegTable({dict(self)!r})"

    def __getitem__(self, key: str) -> Sequence[TradeLeg]:
        if key not in self._legs:
            items, position = self._raw[key], self._positions.get(key)
            self._legs[key] = tuple(_decode(item, position) for item in items)
        return self._legs[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def replaced(self, changes: Mapping[str, Sequence[TradeLeg]]) -> "LegTable":
        """Return the table with the legs of some positions changed; none means that the key goes."""
        legs = {**self._legs, **changes}
        raw = {key: item for key, item in self._raw.items() if key not in changes}
        return LegTable({key: some for key, some in legs.items() if some}, raw, self._positions, self.lost)

    def found(self, key: str, legs: Sequence[TradeLeg]) -> "LegTable":
        """Return the table with the lost legs of a position, out of all `legs` that its fills make."""
        table = self.joined({key: [leg for leg in legs if leg.start in self.lost[key]]})
        del table.lost[key]
        return table

    def joined(self, more: Mapping[str, Sequence[TradeLeg]]) -> "LegTable":
        """Return the table with more legs of some positions, in the order in which they were opened."""
        return self.replaced(
            {key: sorted([*self.get(key, ()), *legs], key=_start) for key, legs in more.items() if legs}
        )

    def trades(self, account: str) -> Sequence[Trade]:
        """Return the trades that the legs make, in the order in which they were entered."""
        if self._trades is None:
            self._trades = tuple(group_legs(account, (leg for key in self for leg in self[key])))
        return self._trades

    def trade(self, account: str, trade_id: str) -> Trade | None:
        """Return one of the trades that the legs make."""
        if self._by_id is None:
            self._by_id = {trade.trade_id: trade for trade in self.trades(account)}
        return self._by_id.get(trade_id)

    def scope_of(self, key: str) -> Scope:
        """Return strategy and underlying of a position's legs: what a trade cannot reach beyond."""
        items = self._raw.get(key)
        if items is None:
            leg = self._legs[key][0]
            return leg.strategy, leg.instrument.underlying
        if key in self._positions:
            return self._positions.scope_of(key)
        return items[0]["strategy"], items[0]["instrument"]["underlying"]

    def of_scopes(self, scopes: Container[Scope]) -> dict[str, Sequence[TradeLeg]]:
        """Return the legs of some scopes, by position."""
        return {key: self[key] for key in self if self.scope_of(key) in scopes}

    def scopes_with_legs_closed_before(self, moment: datetime) -> set[Scope]:
        """Return the scopes in which a leg is closed for longer than since a moment."""
        text = utc_text(moment.replace(microsecond=0))  # without a fraction, texts are in the order of time
        old = {
            key
            for key, items in self._raw.items()
            for item in items
            if item.get("exit_at", "~")[:19] < text[:19] and self._is_closed(item, key)
        }
        for key, legs in self._legs.copy().items():
            if key not in self._raw and any(
                leg.exit_at and leg.exit_at < moment and not leg.lots for leg in legs
            ):
                old.add(key)
        return {self.scope_of(key) for key in old}

    def changed_since(self, before: "LegTable") -> set[str]:
        """Return the keys whose legs are not those of a table that this one was made from."""
        kept = {key for key, legs in self._legs.copy().items() if before._legs.get(key) is legs}
        kept |= {key for key, raw in self._raw.items() if before._raw.get(key) is raw}
        return ({*self} | {*before}) - kept

    def count_closed(self) -> int:
        """Return how many legs are closed; no leg is read for it."""
        return sum(sum(self._closed(key)) for key in self)

    def has_closed_legs(self, scopes: Container[Scope]) -> bool:
        """Tell whether a leg of some scopes is closed; no leg is read for it."""
        return any(any(self._closed(key)) for key in self if self.scope_of(key) in scopes)

    def encode(self, positions: Mapping[str, Position]) -> dict[str, list[dict[str, Any]]]:
        """Write the legs as plain data: as they were read where the position that they were written beside is there."""
        raw, beside = self._raw, self._positions
        return {
            key: raw[key]
            if key in raw and (key in positions or key not in beside)
            else [_encode(leg, positions.get(key)) for leg in self[key]]
            for key in self
        }

    def _closed(self, key: str) -> Iterator[bool]:
        """Yield of each leg whether nothing of it is open."""
        if key in self._raw:
            yield from (self._is_closed(item, key) for item in self._raw[key])
        else:
            yield from (not leg.lots for leg in self._legs[key])

    def _is_closed(self, item: Mapping[str, Any], key: str) -> bool:
        """Tell whether nothing of a leg as it was read is open: its lots are its position's where it has none."""
        if "lots" in item:
            return not item["lots"]
        return key not in self._positions or self._positions.is_flat(key)


def decode_legs(items: Mapping[str, Raw] | None, positions: PositionTable) -> LegTable:
    """Read what `LegTable.encode` wrote. A book written before there were trades (None): each open position is
    one leg, as it stands. Legs that were closed, and written without the contract of a position that was forgotten
    before they were (an older version did), are `lost`.
    """
    if items is None:
        items = {key: [{}] for key in positions if not positions.is_flat(key)}
    lost = {
        key: [(_moment(item["start"][0]), item["start"][1]) for item in items[key]]
        for key in items.keys() - set(positions)
        if "instrument" not in items[key][0]
    }
    raw = {key: some for key, some in items.items() if key not in lost} if lost else items
    return LegTable(raw=raw, positions=positions, lost=lost)


class LegChanges:
    """Folds new fills into the legs of a table, position by position, as the book folds them."""

    def __init__(self, table: LegTable, method: str) -> None:
        self._table = table
        self._method = method
        self.changed: dict[str, Sequence[TradeLeg]] = {}
        self.forgotten: dict[str, list[TradeLeg]] = {}  # not in the table, as they stood, and changed
        self._came: dict[
            str, set[tuple[datetime, str]]
        ] = {}  # not in the table: their starts; later folds go on

    def append(self, key: str, fills: Sequence[Fill]) -> None:
        """Fold fills that come after all others of the position."""
        held = {leg.start for leg in self._of(key)}
        self.changed[key] = fold_legs(map(Effective, fills), self._method, self._of(key))
        self._came.setdefault(key, set()).update({leg.start for leg in self.changed[key]} - held)

    def refold(self, key: str, before: Sequence[Effective], after: Sequence[Effective]) -> None:
        """Fold the position's fills again from where it was flat: `before` as they stood, `after` as they stand.

        Closed legs that the book has forgotten come back only where they have changed, or where the book's legs are others
        than its fills make: as an older version made them.
        """
        held = self._of(key)
        begins = min((step.fill.order for step in (*before, *after)), default=None)
        was, now = fold_legs(before, self._method), fold_legs(after, self._method)
        kept = [leg for leg in held if begins is None or leg.start < begins]
        known = {leg.start for leg in held}
        stood = {leg.start: leg for leg in was}  # no two legs of a position begin with one fill
        stands = {leg.start: leg for leg in now}
        opened = {leg.start: leg.opened for leg in was}
        others = any(opened.get(leg.start) != leg.opened for leg in held[len(kept) :])
        again = [
            leg for leg in now if others or leg.lots or leg.start in known or leg != stood.get(leg.start)
        ]
        lost = [leg for leg in was if leg.start not in known and leg != stands.get(leg.start)]
        self.forgotten.setdefault(key, []).extend(lost)
        self._came.setdefault(key, set()).update(leg.start for leg in again if leg.start not in known)
        self.changed[key] = [*kept, *again]

    def add_late_fee(self, key: str, fee: Fill, of: Fill) -> bool:
        """Add a fee to the leg of its fill; False where the fill log must say which that is."""
        legs = add_late_fee(self._of(key), fee, of)
        if legs is not None:
            self.changed[key] = legs
        return legs is not None

    @property
    def before(self) -> LegTable:
        """The table that is changed."""
        return self._table

    def came(self, now: datetime) -> list[TradeLeg]:
        """Return the legs that were not in the table and are so old that others of their trade may be forgotten."""
        return [
            leg
            for key, starts in self._came.items()
            for leg in self._of(key)
            if leg.start in starts and now - leg.start[0] > CLOSED_KEPT
        ]

    def add(self, key: str, leg: TradeLeg) -> None:
        """Add a leg of a position in its place."""
        self.changed[key] = sorted([*self._of(key), leg], key=_start)

    def table(self) -> LegTable:
        """Return the table with all changes."""
        return self._table.replaced(self.changed)

    def _of(self, key: str) -> Sequence[TradeLeg]:
        return self.changed[key] if key in self.changed else self._table.get(key, ())


def pruned(account: str, table: LegTable, now: datetime) -> LegTable:
    """Return the table without the trades that have been closed for a day, or that newer closed ones crowd out:
    BigQuery has them.
    """
    since = now - CLOSED_KEPT
    crowded = table.count_closed() > MOST_CLOSED
    scopes = (
        {table.scope_of(key) for key in table} if crowded else table.scopes_with_legs_closed_before(since)
    )
    if not scopes:
        return table
    members = table.of_scopes(scopes)
    trades = group_legs(account, (leg for legs in members.values() for leg in legs))
    gone = {id(leg) for trade in trades if closed_before(trade, since) for leg in trade.legs}
    if crowded:
        gone |= {id(leg) for trade in _crowded_out(trades) for leg in trade.legs}
    if not gone:
        return table
    return table.replaced(
        {
            key: [leg for leg in legs if id(leg) not in gone]
            for key, legs in members.items()
            if any(id(leg) in gone for leg in legs)
        }
    )


def _crowded_out(trades: Sequence[Trade]) -> Iterator[Trade]:
    """Yield the closed trades whose legs are beyond the half of what may be kept, so that it is seldom done."""
    closed = sorted((trade for trade in trades if trade.exited_at), key=_exit, reverse=True)
    kept = 0
    for trade in closed:
        kept += len(trade.legs)
        if kept > MOST_CLOSED // 2:
            yield trade


def _start(leg: TradeLeg) -> tuple[datetime, str]:
    return leg.start


def _exit(trade: Trade) -> tuple[datetime, str]:
    assert trade.exited_at is not None
    return trade.exited_at, trade.trade_id


_NUMBERS = ("exit_worth", "realised", "fees", "income")  # 0 where they are not written


def _encode(leg: TradeLeg, position: Position | None) -> dict[str, Any]:
    item: dict[str, Any] = {}
    if position is None:
        item["instrument"] = leg.instrument.model_dump(mode="json")
        item["strategy"] = leg.strategy
    if position is None or leg.lots != position.lots:
        item["lots"] = [
            [decimal_text(lot.quantity), decimal_text(lot.price), utc_text(lot.opened_at), lot.fill_key]
            for lot in leg.lots
        ]
    if leg.tag:
        item["tag"] = leg.tag
    usual = _usual(leg.instrument, leg.strategy, leg.lots)
    if leg.start != usual.start:
        item["start"] = [utc_text(leg.start[0]), leg.start[1]]
    for name in ("opened", "most", "first", "entry_worth", *_NUMBERS):
        if getattr(leg, name) != getattr(usual, name):
            item[name] = decimal_text(getattr(leg, name))
    if leg.other_fees:
        item["other_fees"] = {name: decimal_text(amount) for name, amount in sorted(leg.other_fees.items())}
    if leg.exit_at:
        item["exit_at"] = utc_text(leg.exit_at)
    if leg.ended:
        item["ended"] = leg.ended.value
    if leg.known != usual.known:
        item["known"] = list(leg.known)
    if leg.split != UNSPLIT:
        item["split"] = [decimal_text(number) for number in leg.split]
    if leg.steps != _usual_steps(leg):
        item["steps"] = [[utc_text(step.at), *map(decimal_text, step[1:])] for step in leg.steps]
    return item


def _decode(item: Mapping[str, Any], position: Position | None) -> TradeLeg:
    contract = Instrument.model_validate(item["instrument"]) if position is None else position.instrument
    strategy = item["strategy"] if position is None else position.strategy
    if "lots" in item or position is None:
        lots = deque(Lot(Decimal(q), Decimal(p), _moment(at), key) for q, p, at, key in item["lots"])
    else:
        lots = position.lots.copy()
    leg = _usual(contract, strategy, lots)
    leg.tag = item.get("tag", "")
    if "start" in item:
        leg.start = (_moment(item["start"][0]), item["start"][1])
    for name in ("opened", "most", "first", "entry_worth", *_NUMBERS):
        if name in item:
            setattr(leg, name, Decimal(item[name]))
    leg.other_fees = {name: Decimal(amount) for name, amount in item.get("other_fees", {}).items()}
    leg.exit_at = _moment(item["exit_at"]) if "exit_at" in item else None
    leg.ended = FillKind(item["ended"]) if "ended" in item else None
    leg.known = tuple(item.get("known", leg.known))
    if "split" in item:
        leg.split = (Decimal(item["split"][0]), Decimal(item["split"][1]))
    if "steps" in item:
        leg.steps = tuple(Step(_moment(at), *map(Decimal, numbers)) for at, *numbers in item["steps"])
    else:
        leg.steps = _usual_steps(leg)
    return leg


_NOWHERE = (datetime.min.replace(tzinfo=UTC), "")


def _usual(contract: Instrument, strategy: str, lots: deque[Lot]) -> TradeLeg:
    """Return the leg that opened these lots, all at once, and nothing else."""
    start = (lots[0].opened_at, lots[0].fill_key) if lots else _NOWHERE
    leg = TradeLeg(contract, strategy, "", start, lots)
    leg.opened = leg.most = leg.first = leg.quantity if lots else ZERO
    leg.entry_worth = leg.cost if lots else ZERO
    leg.known = tuple(lot.fill_key for lot in lots)[-KNOWN_FILLS:]
    return leg


def _usual_steps(leg: TradeLeg) -> tuple[Step, ...]:
    """Return the steps of a leg that was opened once, and closed once if at all."""
    if leg.exit_at is None:
        return ()
    most = leg.entry_worth
    if leg.opened != leg.most:
        most = divide(EXACT.multiply(leg.entry_worth, leg.most), leg.opened)
    return (
        Step(leg.start[0], leg.most, most, ZERO),
        Step(leg.exit_at, leg.quantity, leg.cost, leg.realised),
    )


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
