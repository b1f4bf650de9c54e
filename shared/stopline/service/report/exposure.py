"""What the report says of exposure and concentration: by underlying, currency and strategy, of values known now."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from stopline.model.decimals import decimal_text
from stopline.model.errors import InsufficientData
from stopline.risk.border import to_decimal
from stopline.risk.concentration import Exposure, exposure, exposures_by, herfindahl, top_share
from stopline.rules.limits.figures import Rate, Valued
from stopline.rules.orders.open_risk import converted


def exposure_facts(
    positions: Sequence[Valued], rate: Rate, worst: Mapping[str, Decimal | None]
) -> dict[str, Any]:
    """Return the market values of positions in the account's currency, gross, net, long and short: in all, and by
    underlying, currency and strategy. `without`: positions whose value is UNKNOWN, which are in none of them.

    `worst`: the limits' exposure of each underlying, a spread at its worst payoff. Concentration is of these: Herfindahl's
    index, how many equal underlyings would be as concentrated, the largest share; None where one is UNKNOWN or none held.
    """
    values = [converted(v.value, v.position.instrument.currency, rate) for v in positions]
    known = [
        (v.position, float(value)) for v, value in zip(positions, values, strict=True) if value is not None
    ]
    amounts = [value for _, value in known]
    keys = {
        "underlyings": [position.instrument.underlying for position, _ in known],
        "currencies": [position.instrument.currency for position, _ in known],
        "strategies": [position.strategy for position, _ in known],
    }
    return {
        "account": _shown(exposure(amounts)),
        **{name: {k: _shown(e) for k, e in exposures_by(amounts, of).items()} for name, of in keys.items()},
        "worst_payoff": {name: _text(value) for name, value in worst.items()},
        "concentration": _concentration(worst),
        "without": [v.position.key for v, value in zip(positions, values, strict=True) if value is None],
    }


def _concentration(worst: Mapping[str, Decimal | None]) -> dict[str, Any] | None:
    sizes = {name: float(value) for name, value in worst.items() if value is not None}
    if len(sizes) < len(worst):
        return None
    try:
        index = herfindahl(list(sizes.values()))
    except InsufficientData:
        return None
    return {
        "herfindahl": round(index, 6),
        "as_many_equal": round(1 / index, 2),
        "top_share": round(top_share(list(sizes.values())), 6),
        "top": max(sizes, key=lambda name: (sizes[name], name)),
    }


def _shown(one: Exposure) -> dict[str, str | None]:
    parts = {"gross": one.gross, "net": one.net, "long": one.long, "short": one.short}
    return {name: _text(to_decimal(value, 2)) for name, value in parts.items()}


def _text(value: Decimal | None) -> str | None:
    return None if value is None else decimal_text(value)
