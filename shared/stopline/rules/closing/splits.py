"""A split while something is being closed: what a request remembers, in the units of now.

What is left, what had to go and what was executed count units of the book. After two for one there are twice as many.
Each request notes one open leg of each position that it counts in, with the splits of it: what that leg was split since is
what its numbers are multiplied with. What commands remember follows from their fills (`executions.py`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from stopline.ledger.book import Book
from stopline.ledger.trade import Trade
from stopline.ledger.trade_leg import TradeLeg
from stopline.model.closing import CloseRequest
from stopline.model.closing_state import Asked, ClosingState, LegSplit, RequestStatus
from stopline.model.decimals import EXACT_QUANTIZE, ZERO, decimal_text, divide
from stopline.model.ids import position_key
from stopline.model.instrument import Kind

FINEST = Decimal("1E-12")  # of units, as the book rounds them
PART = Decimal("1E-8")  # what a coin or a fractional share may be closed in
Ratio = tuple[Decimal, Decimal]
"""So many units became of so many."""


def rescaled(state: ClosingState, book: Book) -> ClosingState:
    """Return the state with its requests in the units that the book has now; those that have ended, and whose commands are
    forgotten, as they are: `in_units_of` turns them when they are asked about.
    """
    trades = {leg.trade_id for sent in state.sent.values() for leg in sent.legs}
    counts = (RequestStatus.CLOSING, RequestStatus.ASTRAY)
    asked = {
        id_: in_units_of(book, one) if one.status in counts or one.request.trade_id in trades else one
        for id_, one in state.asked.items()
    }
    same = all(one is state.asked[id_] for id_, one in asked.items())
    return state if same else state.model_copy(update={"asked": asked})


def noted(request: CloseRequest, book: Book, known: Mapping[str, LegSplit]) -> dict[str, LegSplit]:
    """Return, by position key, the leg in which a request counts, with its splits up to now: the known one while it is
    open. Nothing where no number of the request is in units.
    """
    found: dict[str, LegSplit] = {}
    for key, legs in _legs(request, book).items():
        open_ = [leg for leg in legs if leg.is_open]
        before = known.get(key)
        leg = next((leg for leg in open_ if before and leg.start[1] == before.leg), next(iter(open_), None))
        if leg is not None:
            new, old = map(decimal_text, leg.split)
            found[key] = LegSplit(leg=leg.start[1], new=new, old=old)
        elif before is not None:
            found[key] = before
    return found


def since_split(units: Decimal, known: LegSplit | None) -> Decimal:
    """Return in units of now how many units are that were counted as if there had been no split."""
    if not units or known is None or known.new == known.old:
        return units
    return divide(units * Decimal(known.new), Decimal(known.old))


def before_split(units: Decimal, known: LegSplit | None) -> Decimal:
    """Return units of now as if there had been no split."""
    if known is None or known.new == known.old:
        return units
    return divide(units * Decimal(known.old), Decimal(known.new))


def in_units_of(book: Book, asked: Asked) -> Asked:
    """Return a request in the units that a book has."""
    splits = noted(asked.request, book, asked.splits)
    if splits == asked.splits:
        return asked
    ratios = dict(_ratios(asked, book))
    update: dict[str, object] = {"splits": splits}
    if ratios:
        leave = _leave(asked.request, book, ratios)
        update["request"] = asked.request.model_copy(update={"leave": leave})
        update["units"] = {key: _scaled(u, ratios.get(key), ROUND_CEILING) for key, u in asked.units.items()}
        update["done"] = {key: _scaled(u, ratios.get(key), ROUND_FLOOR) for key, u in asked.done.items()}
    return asked.model_copy(update=update)


def _ratios(asked: Asked, book: Book) -> Iterable[tuple[str, Ratio]]:
    """Yield by how much the noted legs were split since."""
    for key, legs in _legs(asked.request, book).items():
        was = asked.splits.get(key)
        leg = next((leg for leg in legs if was and leg.start[1] == was.leg), None)
        if was is None or leg is None:
            continue
        new, old = leg.split[0] * Decimal(was.old), leg.split[1] * Decimal(was.new)
        if new != old:
            yield key, (new, old)


def _legs(request: CloseRequest, book: Book) -> dict[str, list[TradeLeg]]:
    """Return the legs, by position key, in whose units a request counts: of its trade, or of the position of which it leaves
    a part; none of one that closes all of more than a trade.
    """
    if request.trade_id is not None:
        trade = book.trade(request.trade_id)
        legs: Iterable[TradeLeg] = trade.legs if trade else ()
    elif request.leave and request.strategy and request.symbol:
        legs = (leg for trade in book.trades() if trade.strategy == request.strategy for leg in trade.legs)
        legs = (leg for leg in legs if leg.instrument.symbol == request.symbol)
    else:
        return {}
    found: dict[str, list[TradeLeg]] = {}
    for leg in legs:
        found.setdefault(position_key(leg.strategy, leg.instrument.symbol), []).append(leg)
    return found


def _leave(request: CloseRequest, book: Book, ratios: Mapping[str, Ratio]) -> Decimal:
    """Return what a request leaves: of a position so many units more, of a trade as many as its units are more. Rounded up
    to whole units where what is held is whole, so that no more goes than was asked for.
    """
    if not request.leave:
        return ZERO
    if request.trade_id is None:
        [(key, (new, old))] = ratios.items()
        held = [(book.positions[key].instrument, book.positions[key].quantity)]
    else:
        trade = book.trade(request.trade_id)
        assert trade
        new, old = trade.quantity, _before(trade, ratios).quantity
        held = [(leg.instrument, leg.quantity) for leg in trade.current if leg.is_open]
    if not old:
        return request.leave
    coins = all(contract.kind in (Kind.CRYPTO, Kind.CASH) for contract, _ in held)
    parts = coins or any(units != int(units) for _, units in held)
    return divide(request.leave * new, old).quantize(
        PART if parts else Decimal(1), ROUND_CEILING, EXACT_QUANTIZE
    )


def _before(trade: Trade, ratios: Mapping[str, Ratio]) -> Trade:
    """Return a trade as large as it would be without the splits."""

    def before(leg: TradeLeg) -> TradeLeg:
        ratio = ratios.get(position_key(leg.strategy, leg.instrument.symbol))
        if ratio is None or not leg.is_open:
            return leg
        return replace(leg, most=divide(leg.most * ratio[1], ratio[0]))

    return replace(trade, legs=tuple(map(before, trade.legs)))


def _scaled(units: Decimal, ratio: Ratio | None, rounding: str) -> Decimal:
    if ratio is None:
        return units
    return EXACT_QUANTIZE.divide(units * ratio[0], ratio[1]).quantize(FINEST, rounding, EXACT_QUANTIZE)
