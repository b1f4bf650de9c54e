"""Instruments: what can be held, how much money one point of it is, and what it hangs on."""

import re
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from stopline.model.decimals import EXACT, DecimalText, divide
from stopline.model.ids import Asset, Currency, Symbol
from stopline.model.times import DateText
from stopline.model.wire import Message

_PAIR = re.compile("[-_:]")
_QUOTES = ("", "USD", "USDC", "USDT")
_OPTION_SYMBOL = re.compile(r"([A-Z0-9.&]{1,16})([0-9]{6})([CP])([0-9]{8})")
_ISO_4217 = """
    AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLP
    CNH CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF
    IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK
    MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR
    SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VES
    VND VUV WST XAF XCD XOF XPF YER ZAR ZMW ZWG
    """  # and CNH
_FIAT = frozenset(_ISO_4217.split())


class Kind(StrEnum):
    EQUITY = "equity"
    OPTION = "option"
    FUTURE = "future"
    CRYPTO = "crypto"
    CASH = "cash"  # money itself: what a fee or a payment is in that belongs to no contract


class Instrument(Message):
    """One tradable contract.

    `multiplier` is the money, in `currency`, that one unit makes when its price moves by one. `underlying`
    groups exposure: an option's or future's underlying, otherwise the symbol itself. An `inverse` contract is
    settled in the asset it is about: one unit is worth -multiplier / price of `currency` (the longer, the
    smaller the debt). `base`: the asset that units of this are, so that a fee in it reduces what was received.
    """

    symbol: Symbol
    kind: Kind
    currency: Currency
    multiplier: DecimalText = Decimal(1)
    underlying: Symbol = ""  # the default is the symbol itself, set below
    expiry: DateText | None = None
    strike: DecimalText | None = None
    right: Literal["C", "P"] | None = None
    inverse: Annotated[bool, Field(strict=True)] = False
    base: Asset | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if not 0 < self.multiplier <= 1_000_000:
            raise ValueError(f"multiplier must be above 0 and at most 1000000, was {self.multiplier}")
        option = (self.expiry, self.strike, self.right)
        if self.kind is Kind.OPTION:
            if None in option or not self.underlying:
                raise ValueError("an option needs underlying, expiry, strike and right")
            if self.strike is not None and self.strike <= 0:
                raise ValueError(f"strike must be above 0, was {self.strike}")
        elif self.strike is not None or self.right is not None:
            raise ValueError(f"only an option has strike and right, kind was {self.kind.value}")
        if self.kind is Kind.CASH and not (self.symbol == self.currency and self.multiplier == 1):
            raise ValueError("cash has its currency as its symbol, and a multiplier of 1")
        if self.inverse and self.kind not in (Kind.FUTURE, Kind.CRYPTO):
            raise ValueError(f"only a future or crypto contract can be inverse, kind was {self.kind.value}")
        if not self.underlying:
            object.__setattr__(self, "underlying", self.symbol)
        return self

    @property
    def is_in_its_coin(self) -> bool:
        """Tell whether an option is paid in the coin that it is on (Deribit's on BTC and ETH): dollars of its strike would
        count as coins.
        """
        return self.is_in_its_asset and self.currency not in _FIAT

    @property
    def is_in_its_asset(self) -> bool:
        """Tell whether an option is paid in what it is on, a coin or the money of a pair (one on EURUSD in EUR): its strike
        is in another money than its price and its P&L, so that what it can lose is not known.
        """
        if self.kind is not Kind.OPTION or self.currency == "USD":
            return False
        asset = _PAIR.split(self.underlying, maxsplit=1)[0]
        return asset in {self.currency + quote for quote in _QUOTES}

    def worth(self, price: Decimal) -> Decimal:
        """Return the money that one unit stands for at a price, so that P&L is quantity x change of worth.

        Of an inverse contract it is rounded to 18 decimals: its quotient is seldom exact.
        """
        if self.inverse:
            return divide(-self.multiplier, price, 18)
        return EXACT.multiply(price, self.multiplier)

    def allows_price(self, price: Decimal) -> bool:
        """Tell whether a trade price is possible: futures may be negative, an option may be 0, the rest is
        above 0.
        """
        if self.kind is Kind.FUTURE and not self.inverse:
            return True
        return price >= 0 if self.kind is Kind.OPTION else price > 0


def coin_fault(contract: Instrument) -> str:
    """Say what is wrong with an option that is paid in what it is on."""
    return (
        f"{contract.symbol} is paid in {contract.currency}, which it is on, and its strike is in other money: "
        "what it can lose is not known"
    )


def option_symbol(root: str, expiry: date, right: str, strike: Decimal) -> str:
    """Return the OCC symbol without padding: `SPXW180205P02600000`. The strike has up to three decimals."""
    return f"{root}{expiry:%y%m%d}{right}{int(strike * 1000):08d}"


def is_option_symbol(symbol: str) -> bool:
    """Tell whether a symbol is an OCC option symbol without padding."""
    return _OPTION_SYMBOL.fullmatch(symbol) is not None
