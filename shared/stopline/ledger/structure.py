"""What traders call a set of legs: vertical, iron condor, calendar and so on, from its contracts and units."""

from collections.abc import Sequence
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from stopline.ledger.expiry import Settles, settles
from stopline.model.instrument import Instrument, Kind

Legs = Sequence[tuple[Instrument, Decimal]]
"""Distinct instruments on one underlying, each with its signed units."""


class Structure(StrEnum):
    """The leg sets that are known by name; everything else is `custom`. Long and short ones share a name: the net
    credit tells which.
    """

    SINGLE = "single"
    PUT_CREDIT_VERTICAL = "put_credit_vertical"
    PUT_DEBIT_VERTICAL = "put_debit_vertical"
    CALL_CREDIT_VERTICAL = "call_credit_vertical"
    CALL_DEBIT_VERTICAL = "call_debit_vertical"
    IRON_CONDOR = "iron_condor"
    IRON_BUTTERFLY = "iron_butterfly"
    BUTTERFLY = "butterfly"
    STRADDLE = "straddle"
    STRANGLE = "strangle"
    CALENDAR = "calendar"
    DIAGONAL = "diagonal"
    COVERED_CALL = "covered_call"
    CUSTOM = "custom"

    @property
    def is_spread(self) -> bool:
        """Tell whether legs that make this may be taken for one trade."""
        return self not in (Structure.SINGLE, Structure.CUSTOM)


def structure_of(legs: Legs) -> Structure:
    """Name a set of legs."""
    if len(legs) == 1:
        return Structure.SINGLE
    options = [_option(contract, units) for contract, units in legs if contract.kind is Kind.OPTION]
    if len(options) < len(legs):
        return _with_shares(legs)
    found: Structure | None = None
    if len({o.ends for o in options}) == 1:
        found = {2: _two, 3: _three, 4: _four}.get(len(options), _none)(sorted(options, key=_strike))
    elif len(options) == 2:
        found = _over_time(*options)
    return found or Structure.CUSTOM


class _Option(NamedTuple):
    ends: Settles
    strike: Decimal
    right: str
    units: Decimal


def _option(contract: Instrument, units: Decimal) -> _Option:
    assert contract.strike is not None
    assert contract.right is not None
    return _Option(settles(contract), contract.strike, contract.right, units)


def _strike(option: _Option) -> tuple[Decimal, bool]:
    return option.strike, option.right == "C"  # of one strike, the put comes first


def _none(_: list[_Option]) -> Structure | None:
    return None


def _two(legs: list[_Option]) -> Structure | None:
    low, high = legs
    if low.right == high.right:
        if low.units != -high.units:
            return None
        short = low if low.units < 0 else high
        if low.right == "P":
            credit = short is high
            return Structure.PUT_CREDIT_VERTICAL if credit else Structure.PUT_DEBIT_VERTICAL
        return Structure.CALL_CREDIT_VERTICAL if short is low else Structure.CALL_DEBIT_VERTICAL
    if low.units != high.units:
        return None
    return Structure.STRADDLE if low.strike == high.strike else Structure.STRANGLE


def _three(legs: list[_Option]) -> Structure | None:
    low, middle, high = legs
    same = len({o.right for o in legs}) == 1
    return Structure.BUTTERFLY if same and low.units == high.units == -middle.units / 2 else None


def _four(legs: list[_Option]) -> Structure | None:
    """Puts below, calls above, inner ones against outer ones; wings may be unequal."""
    puts = [o for o in legs if o.right == "P"]
    calls = [o for o in legs if o.right == "C"]
    if len(puts) != 2 or len(calls) != 2 or puts[1].strike > calls[0].strike:
        return None
    if not (puts[0].units == calls[1].units == -puts[1].units == -calls[0].units):
        return None
    return Structure.IRON_BUTTERFLY if puts[1].strike == calls[0].strike else Structure.IRON_CONDOR


def _over_time(one: _Option, other: _Option) -> Structure | None:
    if one.right != other.right or one.units != -other.units:
        return None
    return Structure.CALENDAR if one.strike == other.strike else Structure.DIAGONAL


def _with_shares(legs: Legs) -> Structure:
    if len(legs) == 2:
        (shares, held), (call, written) = sorted(legs, key=lambda leg: leg[0].kind is Kind.OPTION)
        if shares.kind is Kind.EQUITY and call.right == "C" and held == -written * call.multiplier > 0:
            return Structure.COVERED_CALL
    return Structure.CUSTOM
