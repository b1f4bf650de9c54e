"""The emergency reduction plan: which trades to close, in which order and how far, until a target holds.

The plan closes whole units of trades, so a spread is never left with one leg; one that has lost a part of a leg is
closed as a whole. Each step takes the trade that frees most of the measure for what crossing the spread costs; the
last one is cut to the fewest units that do. Where no trade frees anything by itself, as with the two sides of a
condor of which only the wider one binds, two go together; where no two do, as many as it takes. It is a preview:
nothing is sent by it. What cannot be valued is UNKNOWN: its trade is no candidate and is named, and a measure with an
unknown part is unknown, so that no target is called reached.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_FLOOR, Decimal, localcontext
from enum import StrEnum
from itertools import combinations

from stopline.ledger.cover import covering
from stopline.ledger.expiry import Settles, product_of, settles
from stopline.ledger.payoff import Leg, margin_of
from stopline.ledger.trade import Trade
from stopline.model.decimals import EXACT, EXACT_QUANTIZE, ZERO, divide
from stopline.model.instrument import Instrument, Kind
from stopline.model.prices import Quote
from stopline.risk.border import to_decimal
from stopline.rules.limits.figures import Rate, add

Units = Mapping[str, tuple[Instrument, Decimal]]
"""Signed units by symbol, over all strategies."""
Group = tuple[str, bool, str]
"""Underlying, whether it is options, currency: what is margined together."""


class Measure(StrEnum):
    """What is to come down, in money of the account, 0 or more.

    MARGIN: the model margin of options (`ledger/payoff.py`), the market value of everything else. EXPOSURE: the worst
    expiry payoff of options, a spread once, and the net market value of the rest, by underlying. HEAT: what can still be
    lost from the present marks: market value less worst payoff; unknown where that has no bound.
    """

    MARGIN = "margin"
    EXPOSURE = "exposure"
    HEAT = "heat"


@dataclass(frozen=True, slots=True)
class LegOrder:
    """What closing a step does to one position, in the order in which it is sent: short legs first."""

    strategy: str
    symbol: str
    side: str
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class ReductionStep:
    """Close a trade down to `leave` of its `held` units. `freed`: of the measure, after the steps before; `cost`: half the
    spread on every unit, at the present quotes. Money of the account.
    """

    trade_id: str
    strategy: str
    held: Decimal
    leave: Decimal
    legs: tuple[LegOrder, ...]
    freed: Decimal
    cost: Decimal


@dataclass(frozen=True, slots=True)
class ReductionPlan:
    """`before` and `after`: the measure now, and when all steps are done; None is UNKNOWN. `reached`: the target holds
    then. `left_out`: trades that could not be valued, with the reason.
    """

    measure: Measure
    target: Decimal
    before: Decimal | None
    after: Decimal | None
    reached: bool
    steps: tuple[ReductionStep, ...]
    left_out: tuple[tuple[str, str], ...]


def plan_reduction(
    trades: Iterable[Trade], quotes: Mapping[str, Quote], rate: Rate, measure: Measure, target: Decimal
) -> ReductionPlan:
    """Return the steps that bring the measure to the target or below, or as far as it goes."""
    with localcontext(EXACT):
        return _Planner(trades, quotes, rate, measure, target).plan()


@dataclass(slots=True)
class _Candidate:
    """A trade that may be closed: units held, and of each symbol the signed units that one unit of it has."""

    trade: Trade
    units: Decimal
    each: dict[str, Decimal]
    cost: Decimal  # of one unit
    freed: Decimal | None = None
    groups: frozenset[Group] = frozenset()


Cut = tuple[_Candidate, Decimal]
"""So many units of a trade."""


class _Planner:
    def __init__(
        self,
        trades: Iterable[Trade],
        quotes: Mapping[str, Quote],
        rate: Rate,
        measure: Measure,
        target: Decimal,
    ) -> None:
        self._quotes = quotes
        self._rate = rate
        self._measure = measure
        self._target = target
        self._held: dict[Group, dict[str, tuple[Instrument, Decimal]]] = defaultdict(dict)
        self._candidates: dict[str, _Candidate] = {}
        self._left_out: list[tuple[str, str]] = []
        for trade in trades:
            self._take(trade)
        self._sizes = {group: self._size(units) for group, units in self._held.items()}

    def plan(self) -> ReductionPlan:
        before = after = add(self._sizes.values())
        steps: list[ReductionStep] = []
        for one in self._candidates.values():
            one.freed = self._freed((one, one.units))
        while self._known() > self._target:
            best = max((c for c in self._candidates.values() if c.freed), key=_worth, default=None)
            alone = best is not None and best.freed is not None and best.freed > 0
            cut = (
                [(best, self._fewest(best))] if best is not None and alone else self._pair() or self._bound()
            )
            if not cut:
                break
            for one, units in cut:
                steps.append(_step(one, units, self._freed((one, units)) or ZERO))
                self._close(one, units)
            after = add(self._sizes.values())
        reached = after is not None and after <= self._target
        return ReductionPlan(
            self._measure, self._target, before, after, reached, tuple(steps), tuple(self._left_out)
        )

    def _known(self) -> Decimal:
        return sum((size for size in self._sizes.values() if size is not None), ZERO)

    # --- trades ---

    def _take(self, trade: Trade) -> None:
        each: dict[str, Decimal] = defaultdict(Decimal)
        groups, cost, missing = set(), ZERO, ""
        size = trade.quantity or Decimal(1)
        held = [divide(abs(leg.quantity) * size, abs(leg.most)) for leg in trade.legs if leg.is_open]
        unit = (
            held[0] if all(units == held[0] for units in held) else Decimal(1)
        )  # unequal legs go as a whole
        for leg in trade.legs:
            contract, quantity = leg.instrument, leg.quantity
            if not quantity:
                continue
            group = _group(contract)
            groups.add(group)
            known = self._held[group].get(contract.symbol, (contract, ZERO))[1]
            self._held[group][contract.symbol] = (contract, known + quantity)
            each[contract.symbol] += divide(quantity, unit)
            crossing = self._crossing(contract, abs(quantity))
            missing = missing or ("" if crossing is not None else f"no price of {contract.symbol}")
            cost += crossing or ZERO
        if missing:
            self._left_out.append((trade.trade_id, missing))
        else:
            self._candidates[trade.trade_id] = _Candidate(
                trade, unit, dict(each), divide(cost, unit), groups=frozenset(groups)
            )

    def _crossing(self, contract: Instrument, units: Decimal) -> Decimal | None:
        """Return what half the spread costs on units of a contract; nothing where the quote has one side only."""
        quote = self._quotes.get(contract.symbol)
        mark = self._mark(contract.symbol)
        if quote is None or mark is None or not contract.allows_price(mark):
            return None
        bid, ask = to_decimal(quote.bid), to_decimal(quote.ask)
        half = (ask - bid) / 2 if bid is not None and ask is not None and ask > bid else ZERO
        return self._converted(half * units * contract.multiplier, contract.currency)

    def _mark(self, symbol: str) -> Decimal | None:
        quote = self._quotes.get(symbol)
        return to_decimal(quote.mark) if quote else None

    def _converted(self, value: Decimal, currency: str) -> Decimal | None:
        rate = self._rate(currency)
        return None if rate is None else value * rate

    # --- what closing does ---

    def _pair(self) -> list[Cut]:
        """Return the two trades that together free most for their cost, each cut to the fewest units that do; of trades of
        the same legs the one of most units. Nothing where no two free anything.
        """
        kinds: dict[frozenset[tuple[str, Decimal]], _Candidate] = {}
        for one in sorted(self._candidates.values(), key=lambda c: (c.units, c.trade.trade_id)):
            kinds[frozenset(one.each.items())] = one
        found = []
        for one, other in combinations(kinds.values(), 2):
            if one.groups & other.groups:
                freed = self._freed((one, one.units), (other, other.units)) or ZERO
                cost = one.cost * one.units + other.cost * other.units
                found.append((divide(freed, cost + 1), one.trade.trade_id, other.trade.trade_id))
        best = max(found, default=(ZERO, "", ""))
        if best[0] <= 0:
            return []
        return self._cut([self._candidates[id_] for id_ in best[1:]])

    def _bound(self) -> list[Cut]:
        """Return trades of one group that free something only together: all that are held, less each, the costliest first,
        without which the rest frees something still. Nothing where even all do not.
        """
        for group in sorted(self._held, key=str):
            some = [one for one in self._candidates.values() if group in one.groups]
            some.sort(key=lambda one: (-one.cost * one.units, one.trade.trade_id))
            if not self._frees(some):
                continue
            for one in tuple(some):
                rest = [other for other in some if other is not one]
                some = rest if self._frees(rest) else some
            return self._cut(some)
        return []

    def _frees(self, some: Sequence[_Candidate]) -> bool:
        return bool(some) and (self._freed(*((one, one.units) for one in some)) or ZERO) > 0

    def _cut(self, some: Sequence[_Candidate]) -> list[Cut]:
        """Return trades that free something together, each cut to the fewest units that bring the measure to the target."""
        cuts = {one.trade.trade_id: (one, one.units) for one in some}
        for one in some:
            others = [cut for id_, cut in cuts.items() if id_ != one.trade.trade_id]
            cuts[one.trade.trade_id] = one, self._fewest(one, *others)
        return list(cuts.values())

    def _without(self, *cuts: Cut) -> dict[Group, dict[str, tuple[Instrument, Decimal]]]:
        left: dict[Group, dict[str, tuple[Instrument, Decimal]]] = {}
        for group in frozenset[Group]().union(*(one.groups for one, _ in cuts)):
            left[group] = {
                symbol: (
                    contract,
                    quantity - sum((units * one.each.get(symbol, ZERO) for one, units in cuts), ZERO),
                )
                for symbol, (contract, quantity) in self._held[group].items()
            }
        return left

    def _freed(self, *cuts: Cut) -> Decimal | None:
        """Return how much of the measure closing so many units frees; None where that is unknown."""
        left = self._without(*cuts)
        after = add(self._size(held) for held in left.values())
        before = add(self._sizes[group] for group in left)
        if after is None:
            return None
        return None if before is None else before - after

    def _fewest(self, one: _Candidate, *others: Cut) -> Decimal:
        """Return the fewest whole units that, with those of others, bring the measure to the target; all where that takes
        all.
        """
        need = self._known() - self._target
        whole = int(one.units.quantize(Decimal(1), ROUND_FLOOR, EXACT_QUANTIZE))
        low, high = 1, whole
        if not whole or (self._freed((one, Decimal(whole)), *others) or ZERO) < need:
            return one.units
        while low < high:  # what is freed grows with the units
            middle = (low + high) // 2
            if (self._freed((one, Decimal(middle)), *others) or ZERO) >= need:
                high = middle
            else:
                low = middle + 1
        return Decimal(low)

    def _close(self, one: _Candidate, units: Decimal) -> None:
        for group, held in self._without((one, units)).items():
            self._held[group] = held
            self._sizes[group] = self._size(held)
        del self._candidates[one.trade.trade_id]
        for other in self._candidates.values():
            if other.groups & one.groups:
                other.freed = self._freed((other, other.units))

    # --- measures ---

    def _size(self, held: Mapping[str, tuple[Instrument, Decimal]]) -> Decimal | None:
        """Return the measure of one group, in money of the account."""
        open_ = [(contract, quantity) for contract, quantity in held.values() if quantity]
        if not open_:
            return ZERO
        contract = open_[0][0]
        found = self._options(open_) if contract.kind is Kind.OPTION else self._linear(open_)
        return None if found is None else self._converted(found, contract.currency)

    def _linear(self, held: Sequence[tuple[Instrument, Decimal]]) -> Decimal | None:
        values = []
        for contract, quantity in held:
            mark = self._mark(contract.symbol)
            if mark is None or not contract.allows_price(mark):
                return None
            if self._measure is Measure.HEAT and quantity < 0:
                return None  # a short share can lose without bound
            values.append(quantity * contract.worth(mark))
        if self._measure is Measure.EXPOSURE:
            return abs(sum(values, ZERO))
        return sum((abs(value) for value in values), ZERO)

    def _options(self, held: Sequence[tuple[Instrument, Decimal]]) -> Decimal | None:
        """Return the measure of options on one underlying: what settles together is one, with what of later long ones covers
        its short ones (`ledger/cover.py`), as the limits count it.
        """
        settlements: dict[Settles, list[tuple[Leg, Decimal | None]]] = defaultdict(list)
        for contract, quantity in held:
            leg = Leg(contract.right or "C", contract.strike or ZERO, quantity, contract.multiplier)
            settlements[settles(contract)].append((leg, self._mark(contract.symbol)))
        parts = [settlements[end] for end in sorted(settlements)]
        for early, late, index, units in covering(tuple(tuple(leg for leg, _ in part) for part in parts)):
            leg, mark = parts[late].pop(index)
            if units != leg.quantity:
                parts[late].insert(index, (replace(leg, quantity=leg.quantity - units), mark))
            parts[early].append((replace(leg, quantity=units), mark))
        return add(self._settled(part, held[0][0]) for part in parts if part)

    def _settled(self, part: Sequence[tuple[Leg, Decimal | None]], contract: Instrument) -> Decimal | None:
        legs, marks = [leg for leg, _ in part], [mark for _, mark in part]
        margin = margin_of(legs, marks, ZERO, self._mark(contract.underlying), product_of(contract).style)
        if self._measure is Measure.MARGIN:
            return margin.margin
        if self._measure is Measure.EXPOSURE:
            naked = max(-margin.slope, ZERO) * max(leg.strike for leg in legs)
            return max(-margin.worst, naked)
        return margin.max_loss


def _group(contract: Instrument) -> Group:
    return contract.underlying, contract.kind is Kind.OPTION, contract.currency


def _worth(one: _Candidate) -> tuple[Decimal, str]:
    """Rank: most freed for its cost first; of equals the one that frees more."""
    freed = one.freed or ZERO
    cost = one.cost * one.units
    return (divide(freed, cost + 1), one.trade.trade_id)


def _step(one: _Candidate, units: Decimal, freed: Decimal) -> ReductionStep:
    legs = [
        LegOrder(one.trade.strategy, symbol, "SELL" if each > 0 else "BUY", abs(each) * units)
        for symbol, each in one.each.items()
    ]
    legs.sort(key=lambda leg: (leg.side == "SELL", leg.symbol))
    return ReductionStep(
        one.trade.trade_id,
        one.trade.strategy,
        one.units,
        one.units - units,
        tuple(legs),
        freed,
        one.cost * units,
    )
