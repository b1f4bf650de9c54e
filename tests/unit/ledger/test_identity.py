"""The identity that ties a whole book to its money, in each currency, whatever came in whatever order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from stopline.ledger.days import NO_DAY
from stopline.ledger.position import METHODS
from stopline.model.fill import Fill
from stopline.model.instrument import Instrument

from ..make import at, equity, fill, option
from .strategies import fees, prices, quantities
from .test_amend import booked
from .test_methods import INVERSE, SPOT

CONTRACTS = [option(), equity("SAP", currency="EUR"), SPOT, SPOT, INVERSE]
PAYMENTS = ["FUNDING", "DIVIDEND", "FEE", "FLOW"]
KINDS = ["TRADE"] * 6 + ["ADJUST", "SPLIT", "SPLIT", *PAYMENTS]
NO_MONEY = Fraction(0)


def in_kind(one: Fill) -> bool:
    """Tell whether a fill's fee is taken out of what was traded."""
    return one.instrument.base == one.fee_currency != one.instrument.currency


@st.composite
def events(draw: st.DrawFn) -> tuple[list[Fill], list[Fill]]:
    """Return fills of every kind with busts and late fees of some, and those of them that stand in the end."""
    came, stand = list[Fill](), list[Fill]()
    few = draw(st.lists(st.sampled_from(CONTRACTS), min_size=1, max_size=2))
    for number in range(draw(st.integers(1, 9))):
        contract: Instrument = draw(st.sampled_from(few))
        kind = draw(st.sampled_from([one for one in KINDS if one != "SPLIT" or not contract.inverse]))
        currency = draw(st.sampled_from([contract.currency, "BTC", "BNB"]))
        more = {"strategy": draw(st.sampled_from(["a", "b"])), "instrument": contract}
        terms = {
            "quantity": draw(quantities),
            "price": draw(prices),
            "fee": draw(fees),
            "fee_currency": currency,
        }
        if kind == "SPLIT":
            terms |= {"quantity": draw(st.integers(1, 3)), "price": draw(st.integers(1, 3)), "fee": "0"}
        elif kind in PAYMENTS:
            terms |= {"quantity": 0, "price": 0}
        elif currency == contract.base:
            terms["fee"] = "0.1"  # no more than what was traded
        side = draw(st.sampled_from(["BUY", "SELL"]))
        one = fill(f"E-{number}", side, executed_at=at(draw(st.integers(0, 5))), kind=kind, **terms, **more)
        came.append(one)
        what = draw(st.sampled_from(["", "", "bust", "fee", "fee"]))
        later = {"ref": one.fill_id, "executed_at": at(10 + number), **more}
        if what == "bust":
            came.append(fill(f"B-{number}", kind="BUST", **later))
            continue
        stand.append(one)
        if what == "fee" and kind == "TRADE":
            currency = draw(st.sampled_from([currency, contract.base or contract.currency]))
            terms = {"quantity": 0, "price": 0, "fee": "0.11", "fee_currency": currency}
            came.append(fill(f"F-{number}", kind="FEE", **terms, **later))
            stand.append(came[-1])
    return came, stand


def cash_of(stand: Iterable[Fill]) -> dict[str, Fraction]:
    """Return what fills have moved on the accounts at the broker, by currency."""
    cash: dict[str, Fraction] = defaultdict(Fraction)
    for one in stand:
        contract, trades = one.instrument, one.kind in ("TRADE", "ADJUST")
        if trades:
            cash[contract.currency] -= Fraction(one.signed_quantity) * Fraction(contract.worth(one.price))
        if not (in_kind(one) and (trades or one.ref)):
            cash[one.fee_currency] -= Fraction(one.fee)
    return cash


@settings(max_examples=80)
@given(events(), st.sampled_from(METHODS), st.data())
def test_in_each_currency_cash_and_lots_are_what_was_made_paid_and_brought_in(
    told: tuple[list[Fill], list[Fill]], method: str, data: st.DataObject
) -> None:
    """I1, I12, issue 4.1: cash + open lots at signed cost - gross realised + fees - income - deposits = 0, exactly: with
    fees in the traded asset and in third currencies, splits, funding, inverse contracts, busts and late fees, in any
    order of arrival, by every method.
    """
    came, stand = told
    arrived = data.draw(st.permutations(came))
    cut = data.draw(st.integers(0, len(arrived)))
    book = booked([part for part in (arrived[:cut], arrived[cut:]) if part], method)
    cash = cash_of(stand)
    held = list(book.positions.values())
    for currency in {"USD", "EUR", "USDT", "BTC", "BNB", *cash, *book.totals}:
        total = book.totals.get(currency, NO_DAY)
        own = [p for p in held if p.instrument.currency == currency]
        cost = sum((Fraction(p.cost) for p in own), NO_MONEY)
        made = Fraction(total.realised) - Fraction(total.fees) + Fraction(total.income) + Fraction(total.flow)
        assert cash.get(currency, NO_MONEY) + cost - made == 0, currency
        assert sum((Fraction(p.realised) for p in own), NO_MONEY) == Fraction(total.realised), currency
        paid = sum((Fraction(p.fees) - Fraction(p.income) for p in own), NO_MONEY)
        paid += sum((Fraction(p.other_fees.get(currency, 0)) for p in held), NO_MONEY)
        assert paid == Fraction(total.fees) - Fraction(total.income), currency
        days = [day for (_, of), day in book.days.items() if of == currency]
        assert sum((Fraction(day.net) for day in days), NO_MONEY) == Fraction(total.net), currency
