"""What busts, corrections and late fees make of the fills they are about.

An amendment names a fill by `ref`. A correction may name an earlier correction, a bust may name a correction
(then the trade is gone) or another bust or fee (then that one is undone). The newest correction stands: the one
behind most others, then the latest. The fees of a fill that is busted go with it. A late fee adds to that of the fill or
correction that it names, and the newest of these with a fee says it: a correction whose fee is 0 knows none. An
amendment whose fill is not known does nothing until that fill comes.

A correction stands at the place of its original. Of rows that a broker numbers (`bookings.py`) the last one stands, a
bust or a booking, at the time of the first, and each charges its own fee: what all of them charge is paid, also for a trade
that is taken back.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from stopline.ledger.bookings import named, names_row, number_of, priced_in, same_terms
from stopline.model.decimals import EXACT, ZERO
from stopline.model.errors import Rejected
from stopline.model.fill import ASSUMED, Fill, FillKind, Place
from stopline.model.ids import document_id

Find = Callable[[str], Fill | None]
"""Given a fill key, return the booked fill, or None."""

_OF_A_DAY = re.compile(r"(.+?):([0-9]{8}):(.+)")
DEPTH = 64  # of amendments of amendments; a longer chain, or a ring, ends nowhere


@dataclass(slots=True)
class Effective:
    """A fill as it stands, at its own place, and the fees that came later and are not in its own."""

    fill: Fill
    late_fees: list[Fill] = field(default_factory=list)


_AMOUNTS = frozenset({FillKind.FUNDING, FillKind.DIVIDEND, FillKind.FLOW, FillKind.SPLIT})
"""Kinds whose `fee` is no fee: the amount itself, or nothing."""


def is_amendment(fill: Fill) -> bool:
    """Tell whether a fill is about another one."""
    return fill.kind in (FillKind.BUST, FillKind.CORRECT) or (
        fill.kind is FillKind.FEE and fill.ref is not None
    )


def target_key(amendment: Fill) -> str:
    """Return the key of the fill that an amendment names."""
    return document_id(amendment.broker, amendment.account, amendment.ref or "")


def root_of(amendment: Fill, find: Find) -> tuple[str, Fill | None]:
    """Follow an amendment to the fill that it is about in the end; its key, and None where it is not known."""
    key = target_key(amendment)
    for _ in range(DEPTH):
        found = find(key)
        if found is None or not is_amendment(found):
            return key, found
        key = target_key(found)
    return key, None


def says_no_day(fill: Fill) -> bool:
    """Tell whether a fill is about another one by a number that its broker gives anew each day, and not of which day."""
    return (
        is_amendment(fill)
        and (fill.model_extra or {}).get("ref_day") == ASSUMED
        and _OF_A_DAY.fullmatch(fill.ref or "") is not None
    )


def any_day_key(fill: Fill) -> str | None:
    """Return the key under which amendments wait that give the number of a fill and not its day; None where its id has
    no day.
    """
    of = _OF_A_DAY.fullmatch(fill.fill_id)
    return None if of is None else document_id(fill.broker, fill.account, _on_any_day(of))


def may_mean(amendment: Fill, fills: Iterable[Fill]) -> list[str]:
    """Return the ids of the fills, of those given, that an amendment may be about that does not say of which day its
    fill is.

    Some brokers number executions anew each day and may not say of which day the one is that they cancel: FIX. It
    may be any of that number, order and side, executed before the report (to the second: a report may have no
    fraction). Which it is follows from what is known, whatever came first.
    """
    named = _OF_A_DAY.fullmatch(amendment.ref or "")
    assert named is not None
    return sorted(
        {
            fill.fill_id
            for fill in fills
            if (of := _OF_A_DAY.fullmatch(fill.fill_id)) is not None
            and (of[1], of[3]) == (named[1], named[3])
            and fill.key != amendment.key
            and fill.executed_at.replace(microsecond=0) <= amendment.executed_at
            and (fill.broker, fill.order_id, fill.side)
            == (amendment.broker, amendment.order_id, amendment.side)
        }
    )


def on_its_day(amendment: Fill, fills: Iterable[Fill]) -> Fill:
    """Return an amendment with `ref` as the one of these fills that it is about; one that says no day, and may mean none
    or several of them, with a `ref` that is no fill's.
    """
    if not says_no_day(amendment):
        return amendment
    ids = may_mean(amendment, fills)
    named = _OF_A_DAY.fullmatch(amendment.ref or "")
    assert named is not None
    return with_ref(amendment, ids[0] if len(ids) == 1 else _on_any_day(named))


def with_ref(amendment: Fill, ref: str) -> Fill:
    """Return an amendment as one of the fill `ref`."""
    return amendment if ref == amendment.ref else _changed(amendment, {"ref": ref})


def on_its_fill(amendment: Fill, fills: Iterable[Fill]) -> Fill:
    """Return an amendment that names a trade or a row with `ref` as the one of these fills that it means, if any of them."""
    return with_ref(amendment, named(amendment, fills) or amendment.ref or "")


def check_day(amendment: Fill, fills: Iterable[Fill]) -> Fill:
    """Return an amendment as `on_its_day` does where it is known which fill it means, as it is where none has come. Raises
    Rejected where it may mean several.
    """
    ids = may_mean(amendment, fills) if says_no_day(amendment) else []
    if len(ids) > 1:
        raise Rejected(
            "AMBIGUOUS_REFERENCE",
            f"{amendment.kind.value} {amendment.fill_id} may be about any of {', '.join(ids)}: ask the broker which, and "
            "send it again with the day of the trade (TradeDate, tag 75)",
        )
    return with_ref(amendment, ids[0]) if ids else amendment


def _on_any_day(of: re.Match[str]) -> str:
    return f"{of[1]}:?:{of[3]}"  # no id holds a `?`


def effective(events: Iterable[Fill]) -> list[Effective]:
    """Return the fills as they stand after all amendments among them, in fold order."""
    known = {event.key: event for event in events}
    undated = [event for event in known.values() if says_no_day(event)]
    known |= {event.key: on_its_day(event, known.values()) for event in undated}
    rows = [e for e in known.values() if is_amendment(e) and names_row(e) and target_key(e) not in known]
    known |= {event.key: on_its_fill(event, known.values()) for event in rows}
    amendments = [event for event in known.values() if is_amendment(event)]
    originals = sorted((e for e in known.values() if not is_amendment(e)), key=_order)
    if not amendments:
        return [Effective(fill) for fill in originals]
    about: dict[str, list[Fill]] = {}
    for amendment in amendments:
        about.setdefault(root_of(amendment, known.get)[0], []).append(amendment)
    standing = [stands for o in originals if (stands := _amended(o, about.get(o.key, ()), known)) is not None]
    return sorted(standing, key=_place)


def _amended(original: Fill, amendments: Iterable[Fill], known: Mapping[str, Fill]) -> Effective | None:
    changes = _each_row_once(original, amendments)
    if not changes:
        return Effective(original)
    busts: dict[str, list[Fill]] = {}
    for amendment in changes:
        if amendment.kind is FillKind.BUST and number_of(amendment) is None:
            busts.setdefault(target_key(amendment), []).append(amendment)

    def undone(key: str, depth: int = 0) -> bool:
        return depth < DEPTH and any(not undone(bust.key, depth + 1) for bust in busts.get(key, ()))

    corrections = [a for a in changes if a.kind is FillKind.CORRECT]
    if undone(original.key) or any(undone(correction.key) for correction in corrections):
        return None
    # one in another contract says nothing of this one's units and price, however it came to stand
    corrections = [one for one in corrections if priced_in(one) == priced_in(original)]
    least = _least(original, corrections)
    place = {original.key: (_number(original), False, -1, original.order)}
    place |= {
        c.key: (_number(c, least), number_of(c) is None, _depth(c, known), c.order) for c in corrections
    }
    revisions = sorted([*corrections, original], key=lambda one: place[one.key], reverse=True)
    fees: dict[str, list[Fill]] = {revision.key: [] for revision in revisions}
    for fee in changes:
        if fee.kind is FillKind.FEE and not undone(fee.key):
            of = original.key if number_of(fee) is not None else target_key(fee)
            fees.get(of, fees[original.key]).append(fee)
    told = next((one for one in revisions if one.fee or fees[one.key]), original)
    current = original
    if corrections:
        terms = {name: getattr(revisions[0], name) for name in ("side", "quantity", "price")}
        paid = {"fee": told.fee, "fee_currency": told.fee_currency}
        current = _changed(original, {**terms, **paid, "executed_at": _first_booked(original, corrections)})
    late = []
    for fee in sorted(fees[told.key], key=_order):
        if fee.fee_currency == current.fee_currency and current.kind not in _AMOUNTS:
            current = _changed(current, {"fee": EXACT.add(current.fee, fee.fee)})
        else:
            late.append(fee)
    rows = (a for a in changes if a.kind is FillKind.BUST and number_of(a) is not None and not undone(a.key))
    if not any(_takes_back(bust, revisions[0], original) for bust in rows):
        return Effective(current, late)
    if not current.fee and not late:
        return None
    return Effective(_changed(current, {"kind": FillKind.FEE, "quantity": ZERO, "price": ZERO}), late)


def _each_row_once(original: Fill, amendments: Iterable[Fill]) -> list[Fill]:
    """Return amendments without those of rows that others, or the original, tell too: a row may have come under two ids."""
    once: dict[object, Fill] = {}
    for amendment in sorted(amendments, key=lambda one: one.key):
        number = number_of(amendment)
        if number is None or number != number_of(original):
            once.setdefault(amendment.key if number is None else (amendment.kind, number), amendment)
    return list(once.values())


def _first_booked(original: Fill, corrections: Iterable[Fill]) -> datetime:
    """Return when a trade was executed: as the first of its numbered rows says, whichever of them came as the original."""
    if number_of(original) is None:
        return original.executed_at
    rows = [original, *(one for one in corrections if number_of(one) is not None)]
    return min(rows, key=_number).executed_at


def _number(fill: Fill, without: int = -1) -> int:
    """Return the number of a fill's row; `without` where it has none."""
    number = number_of(fill)
    return without if number is None else number


def _least(original: Fill, corrections: Iterable[Fill]) -> int:
    """Return the number of the row that first booked a trade, -1 where it is not known: what corrects the trade came after
    it, also what TWS told without a number.
    """
    told = (number_of(one) for one in (original, *corrections) if same_terms(one, original))
    return min((number for number in told if number is not None), default=-1)


def _takes_back(bust: Fill, last: Fill, original: Fill) -> bool:
    """Tell whether a row takes back what stands of a trade: what came before it. Of a correction that has no number, told by
    TWS, that is not known; a row that takes back other terms than its own means what was booked before it.
    """
    if last is original or number_of(last) is not None or bust.fill_id.endswith(":original"):
        return _number(bust) > _number(last)
    return same_terms(bust, last)


def _depth(amendment: Fill, known: Mapping[str, Fill]) -> int:
    depth, at = 0, known.get(target_key(amendment))
    while at is not None and is_amendment(at) and depth < DEPTH:
        depth, at = depth + 1, known.get(target_key(at))
    return depth


def _changed(fill: Fill, update: Mapping[str, Any]) -> Fill:
    copy = fill.model_copy(update=update)
    for name in ("text", "hash", "signed_quantity", "order"):
        copy.__dict__.pop(name, None)  # worked out of what was there before
    return copy


def _order(fill: Fill) -> Place:
    return fill.order


def _place(stands: Effective) -> Place:
    return stands.fill.order
