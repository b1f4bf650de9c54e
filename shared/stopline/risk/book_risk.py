"""The risk of one book: VaR and ES by full revaluation, what it is made of, and stress. Numbers only, no Stopline state.

Shapes: m legs on u spots, s sessions of moves. Money is the account's, P&L positive when money is made, VaR and ES
positive losses. Legs that cannot be priced, and legs whose symbol has no history, are left out by name.
NaN is a price that is UNKNOWN. Sources: those of `var`, `contributions` and `factors`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from stopline.model.errors import InsufficientData
from stopline.risk.contributions import es_contributions, factor_model, incremental, var_contributions
from stopline.risk.correlation import covariance
from stopline.risk.factors import Moves, at_todays_volatility, over
from stopline.risk.returns import FloatArray
from stopline.risk.revaluation import Legs, ScenarioPnl, scenario_pnl
from stopline.risk.var import TailRisk, cornish_fisher, historical, need_tail, normal, simulated_moves

A_DAY = 1.0 / 365.0  # years that pass in a scenario for each of its sessions
SEED = 20_240_805  # of simulated moves: the same book and history give the same figure
LOWEST = -0.99  # of a volatility's move: none is left at -1


@dataclass(frozen=True, slots=True)
class Unknown:
    """A measure without an answer, and why."""

    method: str
    why: str


@dataclass(frozen=True, slots=True, eq=False)
class Book:
    """Legs, and whose moves each spot takes: the symbol of each row of `legs.spot`."""

    legs: Legs
    symbols: tuple[str, ...]  # u
    groups: tuple[str, ...]  # m: the underlying of each leg


@dataclass(frozen=True, slots=True, eq=False)
class Share:
    """Where the variance of the book's P&L over the sessions comes from: the shares add up to 1."""

    names: tuple[str, ...]
    beta: FloatArray  # money per move of 1 (100 %)
    share: FloatArray
    residual: float


@dataclass(frozen=True, slots=True)
class Part:
    """One underlying's part of the first figure that has an answer, in money; negative: it hedges. `component` parts of the
    ES and `component_var` parts of the VaR add up to them, and 1 % more of it adds a hundredth of its part; `var` and `es`
    are incremental, what goes away when all on it is closed, and do not.
    """

    name: str
    component: float
    component_var: float
    var: float
    es: float


@dataclass(frozen=True, slots=True, eq=False)
class Tail:
    """VaR and ES by several methods, the most telling first; `legs` are the ES contributions of the first, by leg, and
    `parts` what each underlying adds to it.
    """

    figures: tuple[TailRisk | Unknown, ...]
    legs: tuple[tuple[str, float], ...]
    decomposition: Share | Unknown
    worst: tuple[int, ...]  # rows of the moves with the lowest P&L, worst first
    parts: tuple[Part, ...] = ()

    @property
    def best(self) -> TailRisk | None:
        """The first that has an answer: filtered, else historical."""
        return next((figure for figure in self.figures if isinstance(figure, TailRisk)), None)


def moved(
    book: Book, moves: Moves, returns: FloatArray, volatility: str | None
) -> tuple[Book, FloatArray, FloatArray | None]:
    """Return (the book with what has no history taken out, spot moves (s, u), volatility moves (s, u) or None).

    A leg whose symbol is not among the moves gets a spot of NaN, which leaves it out by name. All implied
    volatilities take the relative move of the symbol `volatility`; without its history they stay.
    """
    places = {symbol: place for place, symbol in enumerate(moves.symbols)}
    known = [symbol in places for symbol in book.symbols]
    spots = np.zeros((len(returns), len(book.symbols)))
    for place, symbol in enumerate(book.symbols):
        if symbol in places:
            spots[:, place] = returns[:, places[symbol]]
    legs = replace(book.legs, spot=np.where(known, book.legs.spot, np.nan))
    volatilities = None
    if volatility in places:
        column = np.maximum(returns[:, places[volatility]], LOWEST)
        volatilities = np.broadcast_to(column[:, None], spots.shape)
    return replace(book, legs=legs), spots, volatilities


def tail(
    book: Book,
    moves: Moves,
    volatility: str | None,
    confidence: float,
    index: str | None,
    age_days: float,
    horizon: int = 1,
    paths: int = 0,
) -> Tail:
    """Return VaR and ES of the book over `horizon` sessions, by full revaluation of its legs under joint moves.

    `filtered`: the moves at today's volatility; `historical`: as they were; `normal` and `cornish-fisher`: of the
    historical P&L; with `paths` also `monte-carlo`: so many normal moves of the covariance of the moves, without drift.
    Longer horizons take the compounded moves of overlapping sessions; n / horizon independent ones must fill the tail. A
    day passes for each session in every scenario, so a leg that expires today does so in each.
    """
    plain = _pnl(book, moves, lambda: over(moves.returns, horizon), volatility, horizon)
    figures: list[TailRisk | Unknown] = []
    legs: tuple[tuple[str, float], ...] = ()
    groups: tuple[Part, ...] = ()

    def add(method: str, pnl: ScenarioPnl | Unknown) -> bool:
        if isinstance(pnl, Unknown):
            figures.append(Unknown(method, pnl.why))
            return False
        independent = len(pnl.total) / (1 if method == "monte-carlo" else horizon)
        try:
            if independent < len(pnl.total):  # overlapping windows repeat each other
                need_tail(independent, confidence)
            found = _METHODS[method](pnl.total, confidence)
        except InsufficientData as problem:
            figures.append(Unknown(method, str(problem)))
            return False
        found = replace(found, method=method, horizon=horizon, n_effective=independent, age_days=age_days)
        figures.append(found.without(pnl.excluded))
        return True

    def simulated() -> FloatArray:
        table = covariance(moves.returns)
        found = simulated_moves(np.zeros(len(table)), table, seed=SEED, horizon=horizon, paths=paths)
        return np.maximum(found, -1.0)

    scaled = _pnl(
        book, moves, lambda: over(at_todays_volatility(moves.returns), horizon), volatility, horizon
    )
    asked = [("filtered", scaled), ("historical", plain), ("normal", plain), ("cornish-fisher", plain)]
    if paths:
        asked.append(("monte-carlo", _pnl(book, moves, simulated, volatility, horizon)))
    for method, pnl in asked:
        if add(method, pnl) and not legs and isinstance(pnl, ScenarioPnl):
            parts = es_contributions(pnl.by_leg, confidence=confidence).component
            legs = tuple(zip(pnl.names, parts.tolist(), strict=True))
            groups = _parts(book, pnl, confidence)
    if isinstance(plain, Unknown):
        return Tail(tuple(figures), legs, Unknown("factor model", plain.why), (), groups)
    a_day = plain if horizon == 1 else _pnl(book, moves, lambda: moves.returns, volatility, 1)
    worst = () if isinstance(a_day, Unknown) else tuple(np.argsort(a_day.total)[:3].tolist())
    shares = _decomposition(plain.total, moves, index, volatility, horizon)
    return Tail(tuple(figures), legs, shares, worst, groups)


def _parts(book: Book, pnl: ScenarioPnl, confidence: float) -> tuple[Part, ...]:
    """Return what each underlying adds to the VaR and ES of a P&L by leg."""
    of = dict(zip(book.legs.names, book.groups, strict=True))
    places: dict[str, int] = {}
    rows = [places.setdefault(of[name], len(places)) for name in pnl.names]
    table = np.zeros((len(pnl.total), len(places)))
    for row, column in zip(rows, pnl.by_leg.T, strict=True):
        table[:, row] += column
    component = es_contributions(table, confidence=confidence).component.tolist()
    at_var = var_contributions(table, confidence=confidence).component.tolist()
    var, es = (figures.tolist() for figures in incremental(table, confidence=confidence))
    return tuple(Part(*part) for part in zip(places, component, at_var, var, es, strict=True))


_METHODS = {
    "filtered": historical,
    "historical": historical,
    "normal": normal,
    "cornish-fisher": cornish_fisher,
    "monte-carlo": historical,
}


def _pnl(
    book: Book, moves: Moves, scenarios: Callable[[], FloatArray], volatility: str | None, horizon: int
) -> ScenarioPnl | Unknown:
    if not len(moves.returns):
        return Unknown("", "there is no session with a move of every symbol")
    try:
        known, spots, volatilities = moved(book, moves, scenarios(), volatility)
        return scenario_pnl(known.legs, spots, volatilities, horizon * A_DAY)
    except InsufficientData as problem:
        return Unknown("", str(problem))


def _decomposition(
    pnl: FloatArray, moves: Moves, index: str | None, volatility: str | None, horizon: int
) -> Share | Unknown:
    """Split the variance of the P&L among the index, the volatility index and the rest."""
    names = tuple(name for name in (index, volatility) if name is not None and name in moves.symbols)
    if not names:
        return Unknown("factor model", "there is no history of an index or a volatility index")
    try:
        factors = np.column_stack([moves.column(name) for name in names])
        model = factor_model(pnl, over(factors, horizon))
    except InsufficientData as problem:
        return Unknown("factor model", str(problem))
    return Share(names, model.beta, model.factor_share, model.residual_share)
