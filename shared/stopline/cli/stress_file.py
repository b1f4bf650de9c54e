"""Positions and past days out of CSV files, for `stopline stress`: as a book that can be played, and scenarios of it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stopline.model.errors import Rejected
from stopline.replay.tables import Table
from stopline.risk.book_risk import Book
from stopline.risk.book_stress import gaps, past_days, spot_scenarios
from stopline.risk.returns import FloatArray
from stopline.risk.revaluation import Legs, option_pricer
from stopline.risk.stress import Scenario, to_levels

HEADS = {
    "quantity": ("quantity", "qty", "contracts", "position"),
    "multiplier": ("multiplier", "mult"),
    "right": ("right", "option_type", "put_call", "cp", "type"),
    "spot": ("spot", "underlying_price", "s"),
    "strike": ("strike", "strike_price", "k"),
    "days": ("days", "days_to_expiry", "dte"),
    "volatility": ("volatility", "vol", "sigma", "implied_volatility", "iv"),
    "beta": ("beta",),
    "close": ("close", "prior_close", "previous_close"),
    "underlying": ("underlying", "underlying_symbol"),
    "name": ("name", "symbol", "leg"),
}
RIGHTS = {"c": True, "call": True, "ce": True, "p": False, "put": False, "pe": False}
MOST = 10_000
LARGEST = 1e12  # of any number in a file: products of two stay exact enough to add
VOLATILITY = "volatility"


@dataclass(frozen=True, slots=True)
class Short:
    """An option that is short: what it is on, its strike, and the days to its expiry."""

    underlying: str
    strike: float
    days: float


@dataclass(frozen=True, slots=True, eq=False)
class Positions:
    """A file's positions. `betas` (u,) of its spots; `closes` by underlying, where the file names one."""

    book: Book
    betas: FloatArray
    closes: Mapping[str, float]
    shorts: Sequence[Short]


def read_positions(path: Path, rate: float, dividend_yield: float = 0.0, american: bool = False) -> Positions:
    """Read positions, with one rate and dividend yield for all options. Rows of one underlying share its spot; without
    that column each row has its own. Raises Rejected with line and column.
    """
    file = Table(path, HEADS, {})
    columns: dict[str, list[float]] = {
        n: [] for n in ("quantity", "multiplier", "spot", "strike", "days", "volatility", "beta", "close")
    }
    names: list[str] = []
    groups: list[str] = []
    options: list[bool] = []
    calls: list[bool] = []
    spots: dict[str, tuple[int, int, float]] = {}  # row of the spot, line, price
    try:
        file.need("quantity", "spot")
        for line, cells in file.rows():
            text = cells[file.index("right")].strip().lower() if file.has("right") else ""
            if text and text not in RIGHTS:
                raise file.fault(
                    line, "right", f"must be C, P or empty (a share or future), was {text[:20]!r}"
                )
            option = bool(text)
            options.append(option)
            calls.append(RIGHTS.get(text, False))
            defaults = {"multiplier": 100.0 if option else 1.0, "beta": 1.0}
            for name, values in columns.items():
                needed = name in ("quantity", "spot") or (option and name in ("strike", "days", "volatility"))
                values.append(_number(file, line, cells, name, needed, defaults.get(name, math.nan)))
            name = cells[file.index("name")].strip() if file.has("name") else ""
            group = cells[file.index("underlying")].strip() if file.has("underlying") else ""
            names.append(name or f"line {line}")
            groups.append(group or f"line {line}")
            spot = columns["spot"][-1]
            _, first, known = spots.setdefault(groups[-1], (len(spots), line, spot))
            if known != spot:
                raise file.fault(line, "spot", f"must be {known:g} as in line {first}, was {spot:g}")
            if len(names) > MOST:
                raise Rejected("BAD_FILE", f"{path}: more than {MOST} positions")
    finally:
        file.close()
    if not names:
        raise Rejected("BAD_FILE", f"{path}: there are no positions in it")
    arrays = {name: np.array(values, dtype=np.float64) for name, values in columns.items()}
    where = np.array([spots[group][0] for group in groups])
    first_of = [groups.index(group) for group in spots]
    terms = (np.array(options), np.array(calls), arrays["strike"], arrays["days"] / 365)
    pricer = option_pricer(*terms, rate, dividend_yield, american=american)
    money = arrays["quantity"] * arrays["multiplier"]
    legs = Legs(names, money, where, arrays["spot"][first_of], arrays["volatility"], pricer)
    closes = {g: c for g, c in zip(groups, columns["close"], strict=True) if math.isfinite(c)}
    held = zip(options, groups, columns["quantity"], columns["strike"], columns["days"], strict=True)
    shorts = [
        Short(group, strike, days) for option, group, units, strike, days in held if option and units < 0
    ]
    return Positions(Book(legs, tuple(spots), tuple(groups)), arrays["beta"][first_of], closes, shorts)


def read_days(path: Path) -> dict[str, dict[str, float]]:
    """Read days of the past: a column `day` of names, one of moves for each underlying (-0.04 is -4 %), and one called
    `volatility` for all implied volatilities. An empty cell: it stayed.
    """
    file = Table(path, {"day": ("day", "date", "name")}, {})
    result: dict[str, dict[str, float]] = {}
    try:
        file.need("day")
        place = file.index("day")
        for line, cells in file.rows():
            moves = {}
            for index, (head, cell) in enumerate(zip(file.head, cells, strict=True)):
                if index == place or not cell.strip():
                    continue
                try:
                    move = float(cell)
                except ValueError:
                    move = math.nan
                if not -1 <= move <= 100 or "_" in cell:
                    raise Rejected(
                        "BAD_FILE",
                        f"{path} line {line}: {head}: must be a move such as -0.04, was {cell[:40]!r}",
                    )
                moves[head] = move
            name = cells[place].strip() or f"line {line}"
            if name in result:
                raise file.fault(line, "day", f"{name[:40]!r} is there already")
            result[name] = moves
            if len(result) > MOST:
                raise Rejected("BAD_FILE", f"{path}: more than {MOST} days")
    finally:
        file.close()
    if not result:
        raise Rejected("BAD_FILE", f"{path}: there are no days in it")
    return result


def scenarios(held: Positions, days: Mapping[str, Mapping[str, float]]) -> list[Scenario]:
    """Return plain moves, limit down, the gap to the closes, the pin at each underlying's nearest short strike at its first
    expiry, and the days.
    """
    symbols = dict.fromkeys(held.book.symbols)
    for name, moves in days.items():
        if not symbols.keys() & moves.keys():
            raise Rejected(
                "BAD_FILE", f"--days: {name}: no column of it is one of {', '.join(symbols)[:200]}"
            )
    result = spot_scenarios() + gaps(held.book, held.closes)
    for underlying in dict.fromkeys(short.underlying for short in held.shorts):
        row = held.book.symbols.index(underlying)
        spot = float(held.book.legs.spot[row])
        mine = [short for short in held.shorts if short.underlying == underlying]
        first = min(short.days for short in mine)
        pin = min((s for s in mine if s.days == first), key=lambda s: (abs(s.strike - spot), s.strike))
        levels = np.full(len(held.book.symbols), np.nan)
        levels[row] = pin.strike
        name = f"{underlying} pins at {pin.strike:g} in {first:g} days"
        result.append(to_levels(held.book.legs, name, levels, first / 365))
    return result + past_days(held.book, days, VOLATILITY)


def _number(file: Table, line: int, cells: Sequence[str], name: str, needed: bool, default: float) -> float:
    text = cells[file.index(name)].strip() if file.has(name) else ""
    if not text:
        if needed:
            raise file.fault(line, name, "is missing")
        return default
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or "_" in text:
        raise file.fault(line, name, f"must be a number, was {text[:40]!r}")
    if number < 0 and name not in ("quantity", "beta"):
        raise file.fault(line, name, f"must not be below 0, was {text[:40]!r}")
    if abs(number) > LARGEST:
        raise file.fault(line, name, f"must be at most {LARGEST:g}, was {text[:40]!r}")
    return number
