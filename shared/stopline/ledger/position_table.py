"""The positions of a book by key: read from the document when somebody asks, written again only where they changed.

Most fills concern one position of many, so the others pass from the old document to the new one as they are.
"""

from collections import deque
from collections.abc import Container, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from stopline.ledger.position import FIFO, Position
from stopline.model.decimals import decimal_text
from stopline.model.ids import position_key
from stopline.model.instrument import Instrument
from stopline.model.times import utc_text

Raw = Mapping[str, Any]


class PositionTable(Mapping[str, Position]):
    """Positions by key. Never changed: `replaced` makes another."""

    def __init__(
        self, positions: Mapping[str, Position], raw: Mapping[str, Raw] | None = None, method: str = FIFO
    ) -> None:
        self._raw = dict(raw or {})  # what stands as it was in the document, read or not
        self._read = dict(positions)  # grows when somebody asks, maybe several threads at once
        self._keys = sorted([*self._raw, *(key for key in self._read if key not in self._raw)])
        self._method = method

    @classmethod
    def of(cls, positions: Mapping[str, Position]) -> "PositionTable":
        """Return positions as a table."""
        return positions if isinstance(positions, PositionTable) else cls(positions)

    def __repr__(self) -> str:
        return f"PositionTable({dict(self)!r})"

    def __getitem__(self, key: str) -> Position:
        found = self._read.get(key)
        if found is None:
            found = self._read[key] = _decode(self._raw[key], self._method)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, key: object) -> bool:
        return key in self._raw or key in self._read

    def replaced(self, changes: Mapping[str, Position], gone: Container[str] = ()) -> "PositionTable":
        """Return the table with some positions changed and some gone."""
        raw = {key: item for key, item in self._raw.items() if key not in changes and key not in gone}
        read = {key: item for key, item in self._read.copy().items() if key not in gone}
        return PositionTable({**read, **changes}, raw, self._method)

    def changed_since(self, before: Mapping[str, Position]) -> list[str]:
        """Return the keys of positions that are not those of a table that this one was made from, in order."""
        return [key for key in self if not self._has_same(key, PositionTable.of(before))]

    def _has_same(self, key: str, before: "PositionTable") -> bool:
        raw = self._raw.get(key)
        if raw is not None and before._raw.get(key) is raw:
            return True
        return key in before and before[key] is self[key]

    def is_flat(self, key: str) -> bool:
        """Tell whether nothing of a position is open; it is not read for it."""
        raw = self._raw.get(key)
        return raw["quantity"] == "0" if raw is not None else self._read[key].is_flat

    def count_lots(self, key: str) -> int:
        """Return how many lots of a position are open, 0 where it is not known; it is not read for it."""
        if key in self._raw:
            return len(self._raw[key]["lots"])
        return len(self._read[key].open) if key in self._read else 0

    def scope_of(self, key: str) -> tuple[str, str]:
        """Return a position's strategy and underlying; it is not read for it."""
        raw = self._raw.get(key)
        if raw is not None:
            return raw["strategy"], raw["instrument"]["underlying"]
        position = self._read[key]
        return position.strategy, position.instrument.underlying

    def encode(self) -> list[Raw]:
        """Write the positions as plain data, by key."""
        raw = self._raw
        return [raw[key] if key in raw else _encode(self._read[key]) for key in self]


def decode_positions(items: Iterable[dict[str, Any]], method: str, whole: bool) -> PositionTable:
    """Read what `PositionTable.encode` wrote. `whole`: read all now, and write all anew."""
    raw = {position_key(item["strategy"], item["instrument"]["symbol"]): item for item in items}
    if whole:
        return PositionTable({key: _decode(item, method) for key, item in raw.items()})
    return PositionTable({}, raw, method)


def _encode(p: Position) -> dict[str, Any]:
    return {
        "instrument": p.instrument.model_dump(mode="json"),
        "strategy": p.strategy,
        "quantity": _text(p.quantity),
        "cost": _text(p.cost),
        "realised": _text(p.realised),
        "fees": _text(p.fees),
        "other_fees": {name: _text(amount) for name, amount in sorted(p.other_fees.items())},
        "fills": p.fills,
        "last": _place(p.last),
        "cycle": _place(p.cycle),
        "opened_at": utc_text(p.opened_at) if p.opened_at else None,
        "last_price": _text(p.last_price),
        "income": _text(p.income),
        "amended": p.amended,
        **({"amended_until": _place(p.amended_until)} if p.amended_until else {}),
        **({"undated_until": utc_text(p.undated_until)} if p.undated_until else {}),
        **({"split_at": utc_text(p.split_at)} if p.split_at else {}),
        **({} if p.priced_at == _time(p.last) else {"priced_at": p.priced_at and utc_text(p.priced_at)}),
        "lots": [[_text(quantity), _text(price), utc_text(at), key] for quantity, price, (at, key) in p.open],
    }


def _decode(item: Raw, method: str) -> Position:
    return Position(
        instrument=Instrument.model_validate(item["instrument"]),
        strategy=item["strategy"],
        open=deque((Decimal(q), Decimal(p), (_moment(at), key)) for q, p, at, key in item["lots"]),
        units=Decimal(item["quantity"]),
        spent=Decimal(item["cost"]),
        realised=Decimal(item["realised"]),
        fees=Decimal(item["fees"]),
        other_fees={name: Decimal(amount) for name, amount in item["other_fees"].items()},
        fills=item["fills"],
        last=_read_place(item["last"]),
        cycle=_read_place(item["cycle"]),
        opened_at=_moment(item["opened_at"]) if item["opened_at"] else None,
        last_price=Decimal(item["last_price"]),
        income=Decimal(item.get("income", "0")),
        method=method,
        amended=item.get("amended", False),
        amended_until=_read_place(item.get("amended_until")),
        undated_until=_moment(item["undated_until"]) if "undated_until" in item else None,
        split_at=_moment(item["split_at"]) if "split_at" in item else None,
        priced_at=_priced_at(item),
    )


def _priced_at(item: Raw) -> datetime | None:
    """Read when the newest execution was: the newest fill is one where nothing else is said, and in documents of before."""
    if "priced_at" not in item:
        return _time(_read_place(item["last"]))
    return _moment(item["priced_at"]) if item["priced_at"] else None


def _time(place: tuple[datetime, str] | None) -> datetime | None:
    return place[0] if place else None


def _place(place: tuple[datetime, str] | None) -> list[str] | None:
    return [utc_text(place[0]), place[1]] if place else None


def _read_place(place: list[str] | None) -> tuple[datetime, str] | None:
    return (_moment(place[0]), place[1]) if place else None


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


_text = decimal_text
