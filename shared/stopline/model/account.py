"""Accounts: whose book it is, in which money and time it lives, and which limits hold."""

from decimal import Decimal
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field

from stopline.model.calendars import Calendar, calendar
from stopline.model.decimals import DecimalText
from stopline.model.errors import Rejected
from stopline.model.ids import Currency, Id, Name
from stopline.model.increments import Contracts, Increments
from stopline.model.instrument import Instrument, Kind
from stopline.model.rights import Rights
from stopline.model.settings.activity import ActivitySettings
from stopline.model.settings.alerts import AlertSettings
from stopline.model.settings.closing import ClosingSettings, Reduction
from stopline.model.settings.exits import ExitSettings
from stopline.model.settings.levels import PriceLevel
from stopline.model.settings.lifecycle import LifecycleSettings
from stopline.model.settings.limit_override import LimitOverride
from stopline.model.settings.measures import MeasureSettings
from stopline.model.settings.recipients import Recipients
from stopline.model.settings.reconcile import ReconcileSettings
from stopline.model.settings.risk import RiskSettings
from stopline.model.settings.sizing import SizingSettings
from stopline.model.settings.trading import TradingSettings
from stopline.model.text import Text
from stopline.model.wire import Message
from stopline.model.zones import ZoneName


def _known_calendar(name: str) -> str:
    try:
        return calendar(name).name
    except Rejected as problem:
        raise ValueError(problem.detail) from None


class Account(Message):
    """One trading account. `capital` is the equity, in `currency`, that the ledger's P&L is added to.

    `price_max_age_s`: a price older than this in open hours is stale and everything that hangs on it is
    UNKNOWN. `method` says which lots a fill closes; it cannot be changed once fills are booked.

    `increments`: ticks and lots by contract, such as `option:SPX`; a fill off them is refused.

    `risk_interval_s`: risk is written at most this often unless a limit changes level (R1.7: down to
    1 s).
    """

    account: Name
    owner: Name
    currency: Currency
    calendar: Annotated[str, AfterValidator(_known_calendar)] = "XNYS"
    time_zone: ZoneName = "America/New_York"
    capital: DecimalText
    method: Literal["fifo", "lifo", "hifo", "average"] = "fifo"
    profile: Literal["zero_dte", "general", "conservative"] = "zero_dte"
    limits: dict[Name, LimitOverride] = Field(default_factory=dict, max_length=100)
    risk: RiskSettings = Field(default_factory=RiskSettings)
    sizing: SizingSettings = Field(default_factory=SizingSettings)
    recipients: Recipients = Field(default_factory=Recipients)
    alerting: AlertSettings = Field(default_factory=AlertSettings)
    reconcile: ReconcileSettings = Field(default_factory=ReconcileSettings)
    price_max_age_s: Annotated[int, Field(ge=1, le=86_400)] = 60
    risk_interval_s: Annotated[int, Field(ge=1, le=3600)] = 1
    brokers: tuple[Name, ...] = Field(default=("paper",), min_length=1, max_length=32)
    exits: ExitSettings = Field(default_factory=ExitSettings)
    closing: ClosingSettings = Field(default_factory=ClosingSettings)
    reductions: dict[Name, Reduction] = Field(default_factory=dict, max_length=50)  # by limit or breaker
    note: Text = ""
    grants: dict[Id, Rights] = Field(
        default_factory=dict, max_length=200
    )  # who may do what here, by name or address
    trading: TradingSettings = Field(default_factory=TradingSettings)
    activity: ActivitySettings = Field(default_factory=ActivitySettings)
    measures: MeasureSettings = Field(default_factory=MeasureSettings)
    lifecycle: LifecycleSettings = Field(default_factory=LifecycleSettings)
    levels: tuple[PriceLevel, ...] = Field(default=(), max_length=100)  # prices to be told of
    increments: dict[Contracts, Increments] = Field(default_factory=dict, max_length=500)
    version: Annotated[int, Field(ge=1, lt=2**53)] = 1

    @property
    def sessions(self) -> Calendar:
        """The calendar that bounds the account's trading day."""
        return calendar(self.calendar)

    def sessions_of(self, instrument: Instrument) -> Calendar:
        """The calendar by which an instrument trades: crypto always, the rest by the account's."""
        return calendar("24/7") if instrument.kind is Kind.CRYPTO else self.sessions

    @property
    def zone(self) -> ZoneInfo:
        """The zone that people of this account read times in."""
        return ZoneInfo(self.time_zone)


def check_capital(account: Account) -> None:
    """Refuse capital that no percentage can be taken of."""
    if not Decimal(0) < account.capital <= Decimal(10) ** 12:
        raise Rejected("BAD_CAPITAL", f"capital must be above 0 and at most 1E+12, was {account.capital}")
