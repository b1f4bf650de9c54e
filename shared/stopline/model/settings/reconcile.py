"""How an account is compared with its brokers."""

from decimal import Decimal
from typing import Annotated

from pydantic import Field

from stopline.model.decimals import DecimalText
from stopline.model.wire import Message


class ReconcileSettings(Message):
    """`quiet_s`: an instrument is compared when no fill of it is younger than this, on either side of the
    statement. `expect_every_min`: while the market is open every broker of the account must send a complete statement
    this often; None: none is expected. `cost_tolerance_pct`: average prices further apart than this are a break;
    None: they are not compared.
    """

    quiet_s: Annotated[int, Field(ge=1, le=3600)] = 30
    expect_every_min: Annotated[int, Field(ge=1, le=1440)] | None = None
    cost_tolerance_pct: Annotated[DecimalText, Field(ge=0, le=100)] | None = Decimal(1)
