"""Sequences of fills for hypothesis: small numbers, few moments, so that ties and flats are common."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from stopline.model.fill import Fill
from stopline.model.instrument import Instrument

from ..make import NOON, equity, fill, option

INSTRUMENTS = [equity("SPY"), option(6000, "P"), equity("SAP", currency="EUR")]
quantities = st.integers(1, 12).map(lambda n: Decimal(n) / 4)
prices = st.integers(1, 400).map(lambda n: Decimal(n) / 8)
fees = st.sampled_from(["0", "0.35", "-0.25", "1.005"])


@st.composite
def fill_lists(
    draw: st.DrawFn,
    max_size: int = 12,
    instruments: list[Instrument] = INSTRUMENTS,
    strategies: tuple[str, ...] = ("condors", "default"),
    hours: int = 200,
) -> list[Fill]:
    """Return distinct fills of one account over some days; several may have the same moment."""
    size = draw(st.integers(1, max_size))
    made = []
    for number in draw(st.permutations(range(size))):
        more: dict[str, Any] = {"strategy": draw(st.sampled_from(strategies)), "fee": draw(fees)}
        if draw(st.booleans()):
            more["fee_currency"] = draw(st.sampled_from(["USD", "EUR", "BNB"]))
        made.append(
            fill(
                f"E-{number}",
                draw(st.sampled_from(["BUY", "SELL"])),
                draw(quantities),
                draw(prices),
                NOON - timedelta(hours=draw(st.integers(0, hours))),
                draw(st.sampled_from(instruments)),
                **more,
            )
        )
    return made
