"""A law of spreads that are scaled out of leg by leg: each stage closes what it says, once, and the stop never falls."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from stopline.ledger.book import Book
from stopline.model.fill import Fill
from stopline.rules.exits.state import FRESH, Exit, Reading
from stopline.rules.exits.subject import subject
from stopline.rules.exits.trade_exits import advance

from ..make import account, at, option, trade
from .exit_paths import plan

SHORT, LONG = option(6000, "P"), option(5990, "P")
PARTS = [Decimal(33), Decimal(33), Decimal(20)]
PLAN = plan(
    confirm=2,
    stop_loss="100%",
    trail={"by": "percent", "amount": "20%", "activation": "10%"},
    scale_out=[{"at": f"{0.2 * n:.1f}R", "close": str(part)} for n, part in enumerate(PARTS, start=1)],
)
SIZES = st.integers(1, 14)
STEPS = st.lists(st.tuples(st.integers(-40, 25), st.integers(0, 5), st.booleans()), min_size=5, max_size=40)


class Spread:
    """A credit spread sold at 1.50 and its exits; the desk closes the short leg first."""

    def __init__(self, units: int) -> None:
        self.fills: list[Fill] = []
        self.add(trade(0, -units, "3.00", instrument=SHORT))
        self.add(trade(1, units, "1.50", instrument=LONG))
        self.state = FRESH
        self.leave = Decimal(units)
        self.exits: list[Exit] = []
        self.stops: list[Decimal | None] = []

    def add(self, fill: Fill, twice: bool = False) -> None:
        self.fills += [fill.model_copy(update={"group_id": "G-1"})] * (2 if twice else 1)
        empty = Book("demo")
        self.book = empty.with_fills(self.fills, account().sessions.session_of, lambda _p, _f: [], at(10**4))

    def held(self) -> list[Decimal]:
        found = {p.instrument.symbol: abs(p.quantity) for p in self.book.open_positions()}
        return [found.get(contract.symbol, Decimal(0)) for contract in (SHORT, LONG)]

    def see(self, value: Decimal, number: int) -> None:
        """Read the price of what is open, whatever its proportion, while the spread is worth `value`."""
        for one in self.book.open_trades():
            view = subject(one)
            assert view
            prices = {SHORT.symbol: value + Decimal("1.5"), LONG.symbol: Decimal("1.5")}
            price = sum((weight * prices[symbol] for symbol, weight in view[1]), Decimal(0))
            now = at(number)
            step = advance(PLAN, view[0], self.state, Reading(price, now, now), (), now)
            self.state = step.state
            self.stops.append(step.state.stop)
            if step.exit:
                self.exits.append(step.exit)
                self.leave = step.exit.leave

    def fill(self, most: int, number: int, twice: bool) -> None:
        """Execute a part of what was asked for, short units first; the broker may say it twice."""
        short, long = self.held()
        contract, left = (SHORT, short - self.leave) if short > self.leave else (LONG, long - self.leave)
        units = min(Decimal(most), left)
        if units > 0:
            signed = units if contract is SHORT else -units
            self.add(
                trade(number, signed, "2.00" if contract is SHORT else "1.40", instrument=contract), twice
            )


@given(SIZES, STEPS)
@settings(max_examples=60, deadline=None)
def test_each_stage_of_a_spread_closes_what_it_says_once_and_the_stop_never_falls(
    units: int, steps: list[tuple[int, int, bool]]
) -> None:
    """R4.1, R4.3: short first, in parts, told twice."""
    spread = Spread(units)
    value = Decimal("1.5")
    for number, (move, filled, twice) in enumerate(steps, start=2):
        value = max(value + Decimal(move) / 100, Decimal("0.01"))
        spread.see(value, number)
        spread.fill(filled, number, twice)
    said = [Decimal(100) - sum(PARTS[:n]) for n in range(1, len(PARTS) + 1)]
    allowed = [(units * left / 100).to_integral_value(ROUND_CEILING) for left in said]
    stages = [found.leave for found in spread.exits if found.rule == "scale_out"]
    assert stages == sorted(set(stages), reverse=True)
    assert set(stages) <= set(allowed)
    assert len(spread.exits) <= len(stages) + 2  # and all of it: once, or once more, urgently
    known = [stop for stop in spread.stops if stop is not None]
    assert known == sorted(known, reverse=True)
    assert None not in spread.stops
    for number in range(100, 130):
        spread.fill(9, number, False)
    assert spread.held() == [spread.leave, spread.leave]
