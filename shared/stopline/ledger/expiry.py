"""When an option ends, product by product: last trade, the price that settles it, the exercise decision.

Sources: product specifications of Cboe (SPX, SPXW, XSP, VIX, RUT, RUTW, MRUT, DJX, OEX, XEO), Nasdaq (NDX, NDXP,
XND), OCC (exercise decisions to 17:30 ET), NSE and BSE (index options in cash, share options by delivery, at the
close; currencies at 12:30), MCX (at night), Deribit (08:00 UTC). Of SPX, NDX, RUT and DJX only the standard monthly
options, of the third Friday, settle by opening prices; those of VIX always do. What is not in the table is taken for
an option on a share or fund that is settled by delivery.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from stopline.model.calendars import Calendar, calendar
from stopline.model.instrument import Instrument


class Settlement(StrEnum):
    CASH = "cash"
    DELIVERY = "delivery"


@dataclass(frozen=True, slots=True)
class Product:
    """How options of a root end. `at_open`: by the opening prices of the expiry day, last traded on the day before.

    `late`: how long trading goes on after the close. `until`: local time of the last trade where it is not by the close;
    `summer`: while New York saves daylight. `decision`: local time until which a holder may decide. `american`: a
    holder may exercise on any day before.
    """

    settlement: Settlement
    style: str = "index"  # of the naked margin
    calendar: str = ""  # empty: the account's
    at_open: bool = False
    late: timedelta = timedelta(0)
    decision: time | None = None
    american: bool = False
    until: time | None = None
    summer: time | None = None


_PM = Product(Settlement.CASH, calendar="XNYS")
_AM = Product(Settlement.CASH, calendar="XNYS", at_open=True)
_SHARE = Product(Settlement.DELIVERY, "equity", "XNYS", decision=time(17, 30), american=True)
_LATE = Product(
    Settlement.DELIVERY, "equity", "XNYS", late=timedelta(minutes=15), decision=time(17, 30), american=True
)
_NSE_INDEX = Product(Settlement.CASH, calendar="XNSE")
_NSE_SHARE = Product(Settlement.DELIVERY, "equity", "XNSE")
_MCX = Product(Settlement.DELIVERY, "equity", "XNSE", until=time(23, 55), summer=time(23, 30))
_RUPEE = Product(
    Settlement.CASH, "equity", "XNSE", until=time(12, 30), decision=time(13, 30)
)  # at the reference rate
_ABROAD = Product(Settlement.DELIVERY, "equity", american=True)
_COIN = Product(Settlement.CASH, "equity")

MONTHLY = ("SPX", "NDX", "RUT", "DJX")  # at the opening on the third Friday, at the close on every other day
PRODUCTS = {
    **dict.fromkeys(("SPXW", "SPXPM", "XSP", "XSPW", "NDXP", "RUTW", "MRUT", "MRUTW", "XND", "XEO"), _PM),
    "OEX": Product(Settlement.CASH, calendar="XNYS", american=True),
    **dict.fromkeys((*MONTHLY, "VIX", "VIXW"), _AM),
    **dict.fromkeys(("SPY", "QQQ", "IWM", "DIA"), _LATE),
    **dict.fromkeys(
        ("NIFTY", "BANKNIFTY", "FINNIFTY", "MIDCPNIFTY", "NIFTYNXT50", "SENSEX", "BANKEX"), _NSE_INDEX
    ),
}
IN_RUPEES = {  # by their currency too: GOLD is a share in New York
    **dict.fromkeys(("USDINR", "EURINR", "GBPINR", "JPYINR"), _RUPEE),
    **dict.fromkeys(("CRUDEOIL", "CRUDEOILM", "NATURALGAS", "NATGASMINI"), _MCX),
    **dict.fromkeys(("GOLD", "GOLDM", "SILVER", "SILVERM", "COPPER", "ZINC"), _MCX),
}
_DAILY = time(8)  # UTC: where markets never close
_ROOT = re.compile(r"([A-Z.&]+)[0-9]{6}[CP][0-9]{8}")
_DATED = re.compile(r"([A-Z.&]+[0-9]?)([0-9]{6})[CP][0-9]{8}")


@lru_cache(8192)
def _root(symbol: str, underlying: str) -> str:
    match = _ROOT.fullmatch(symbol)
    return match[1] if match else underlying


def root_of(contract: Instrument) -> str:
    """Return the root of an option's symbol, or its underlying where the symbol is not of the OCC's form."""
    return _root(contract.symbol, contract.underlying)


def product_of(contract: Instrument) -> Product:
    """Return how an option ends."""
    assert contract.expiry is not None
    return _product(root_of(contract), contract.currency, contract.expiry)


class Settles(NamedTuple):
    """When and in what options settle, the earlier ones first: those of one underlying with the same may be set off."""

    day: date
    at_close: bool  # False: by the opening prices of the day
    currency: str


def settles(contract: Instrument) -> Settles:
    """Return what an option must have in common with others of its underlying for one price to settle them all."""
    assert contract.expiry is not None
    return Settles(contract.expiry, not product_of(contract).at_open, contract.currency)


def is_american(contract: Instrument, account_sessions: Calendar) -> bool:
    """Tell whether an option may be exercised before it expires. One on a coin may not; share options abroad are taken to
    be American, those of the NSE are not.
    """
    coin = account_sessions.every_day and root_of(contract) not in PRODUCTS
    return not coin and product_of(contract).american


def _product(root: str, currency: str, expiry: date) -> Product:
    known = PRODUCTS.get(root)
    if known is not None:
        return _PM if root in MONTHLY and not _is_monthly(expiry) else known
    if currency == "USD":
        return _SHARE
    return IN_RUPEES.get(root, _NSE_SHARE) if currency == "INR" else _ABROAD


def _is_monthly(expiry: date) -> bool:
    """Tell whether an expiry is that of the third Friday in New York, or of the session before where that is a holiday.
    Symbols of before 2015 carry the Saturday.
    """
    sessions = calendar("XNYS")
    first = expiry.replace(day=1)
    friday = first + timedelta(days=(4 - first.weekday()) % 7 + 14)
    return _session(expiry, sessions) == _session(friday, sessions)


def _session(day: date, sessions: Calendar) -> date:
    return day if sessions.is_session(day) else sessions.previous_session(day)


@dataclass(frozen=True, slots=True)
class ExpiryClock:
    """The last moments of an option, in UTC. `trades_until`: last trade. `settles_at`: when the price that settles it
    is made. `decided_at`: until when it may be exercised; only then is it known who is assigned.
    """

    settlement: Settlement
    trades_until: datetime
    settles_at: datetime
    decided_at: datetime


def expiry_clock(contract: Instrument, account_sessions: Calendar) -> ExpiryClock:
    """Return the clock of an option. An expiry on a holiday counts for the session before it; early closes count.

    In an account whose market never closes, an option without a product in the table is one on a coin.
    """
    assert contract.expiry is not None
    return _clock(root_of(contract), contract.currency, contract.expiry, account_sessions.name)


def ends_at(symbol: str, contract: Instrument | None, account_sessions: Calendar) -> datetime | None:
    """Return when nothing is held of an option any more, by its contract, or by its symbol where that is all that is known;
    None for what is no option, or cannot be told to be one.
    """
    if contract is not None:
        return (
            expiry_clock(contract, account_sessions).decided_at
            if contract.expiry and contract.right
            else None
        )
    told = _DATED.fullmatch(symbol)
    try:
        expiry = datetime.strptime(told[2], "%y%m%d").date() if told else None  # noqa: DTZ007 - a date alone
    except ValueError:
        return None
    return _clock(told[1], "USD", expiry, account_sessions.name).decided_at if told and expiry else None


@lru_cache(8192)
def _clock(root: str, currency: str, expiry: date, market: str) -> ExpiryClock:
    coin = calendar(market).every_day and root not in PRODUCTS
    product = _COIN if coin else _product(root, currency, expiry)
    sessions = calendar(product.calendar or market)
    if sessions.every_day:
        moment = datetime.combine(expiry, _DAILY, UTC)
        return ExpiryClock(product.settlement, moment, moment, moment)
    day = _session(expiry, sessions)
    if product.at_open:
        opens = sessions.open_of(day)
        last = sessions.close_of(sessions.previous_session(day))
        return ExpiryClock(product.settlement, last, opens, opens)
    close = sessions.close_of(day)
    until = close + product.late
    if product.until is not None:
        saves = product.summer if _saves_daylight(day) else None
        until = _at(day, saves or product.until, sessions)
        close = _at(day, product.decision, sessions) if product.decision else until
    decided = _at(day, product.decision, sessions) if product.decision else close
    return ExpiryClock(product.settlement, until, close, max(decided, until))


def _saves_daylight(day: date) -> bool:
    """Tell whether New York saves daylight at noon of a day: the evening of India's commodities ends by it."""
    return bool(datetime.combine(day, time(12), calendar("XNYS").zone).dst())


def _at(day: date, moment: time, sessions: Calendar) -> datetime:
    return datetime.combine(day, moment, sessions.zone).astimezone(UTC)
