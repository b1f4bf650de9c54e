"""What an account's Greeks add up to, per leg, underlying, strategy and in all: what limits and people read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from stopline.model.decimals import decimal_text


@dataclass(frozen=True, slots=True)
class NetGreeks:
    """Greeks of some positions together, in the account's currency; negative: short. None is UNKNOWN.

    A sum with an unknown part is unknown. `units` add up within one underlying only, elsewhere they are None.
    """

    units: Decimal | None  # delta: so many units of the underlying move as much
    delta: Decimal | None  # money: the units x the underlying's price
    gamma: Decimal | None  # money: change of `delta` by a rise of 1 % of the underlying, at its price now
    theta: Decimal | None  # money per calendar day that passes
    vega: Decimal | None  # money per 1 % (0.01) of implied volatility
    beta_delta: Decimal | None  # money of the account's index that moves as much: sum of beta x delta


@dataclass(frozen=True, slots=True)
class AccountGreeks:
    """The Greeks of one account, in all and by part. `volatilities`: of its option positions, by position key."""

    total: NetGreeks
    underlyings: Mapping[str, NetGreeks] = field(default_factory=dict)
    strategies: Mapping[str, NetGreeks] = field(default_factory=dict)
    positions: Mapping[str, NetGreeks] = field(default_factory=dict)
    volatilities: Mapping[str, Decimal | None] = field(default_factory=dict)

    def shown(self) -> dict[str, Any]:
        """Return all but the positions as plain data: decimal text, None where UNKNOWN."""
        return {
            "account": plain(self.total),
            "underlyings": {name: plain(greeks) for name, greeks in self.underlyings.items()},
            "strategies": {name: plain(greeks) for name, greeks in self.strategies.items()},
        }

    def shown_position(self, key: str) -> dict[str, Any]:
        """Return what belongs to one position: its Greeks where it is an option, with the volatility behind them."""
        if key not in self.volatilities:
            return {}  # of shares and coins they say no more than quantity and value
        return {"greeks": {**plain(self.positions[key]), "iv": _text(self.volatilities[key])}}


def plain(greeks: NetGreeks) -> dict[str, Any]:
    """Return Greeks as plain data."""
    return {
        "units": _text(greeks.units),
        "delta": _text(greeks.delta),
        "gamma": _text(greeks.gamma),
        "theta": _text(greeks.theta),
        "vega": _text(greeks.vega),
        "beta_delta": _text(greeks.beta_delta),
    }


def _text(value: Decimal | None) -> str | None:
    return None if value is None else decimal_text(value)
