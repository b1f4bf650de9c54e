"""Limit prices of close commands: beyond the far side of the quote by a collar that widens with each retry."""

from decimal import Decimal, localcontext

from stopline.model.decimals import EXACT_QUANTIZE
from stopline.model.increments import round_down, round_up
from stopline.model.instrument import Instrument, Kind
from stopline.model.prices import Quote
from stopline.model.settings.closing import ClosingSettings
from stopline.risk.border import to_decimal

_CENT, _FINE = Decimal("0.01"), Decimal("0.00000001")
_WIDEST = 20  # doublings: beyond any cap


def limit_price(
    contract: Instrument,
    buys: bool,
    quote: Quote | None,
    retry: int,
    settings: ClosingSettings,
    tick: Decimal | None = None,
) -> Decimal | None:
    """Return the price that a close may be executed at, at worst; None without a mark.

    The collar is `collar_pct` of the mark, at least `collar_min`, doubled `retry` times. It starts at the far side of the
    quote (the ask for a buy) and ends at `collar_max_pct` from the mark, `collar_min` at least: a quote that is
    wider than that is not chased. Rounded to the `tick`, where none is known to cents (equities and options) or 8
    decimals, away from the mark.
    """
    mark = to_decimal(quote.mark) if quote else None
    if quote is None or mark is None or not contract.allows_price(mark):
        return None
    far = to_decimal(quote.ask if buys else quote.bid)
    with localcontext(EXACT_QUANTIZE):
        size = abs(mark)
        most = max(size * settings.collar_max_pct / 100, settings.collar_min)
        first = max(size * settings.collar_pct / 100, settings.collar_min)
        width = min(first * Decimal(2 ** min(retry, _WIDEST)), most)
        step = tick or (_CENT if contract.kind in (Kind.EQUITY, Kind.OPTION) else _FINE)
        if buys:
            limit = min(max(mark, mark if far is None else far) + width, mark + most)
            return round_up(limit, step)
        limit = round_down(max(min(mark, mark if far is None else far) - width, mark - most), step)
        return limit if limit > 0 or (contract.kind is Kind.FUTURE and not contract.inverse) else step
