"""Books against brokers: where what we hold is not what a statement says, and since when.

An instrument is compared over all strategies, when it is quiet: no fill of it less than `quiet_s` before the
statement, and as long passed since, for fills that are on their way. A first pass that finds a difference makes a
break SUSPECTED; a second one, by another statement of every broker or `quiet_s` later, CONFIRMED. A confirmed break is
cleared when a fill has changed our side and it agrees now, or when two statements in a row agree, of every broker that
shows the instrument or did: one good answer of a broker that just gave a bad one proves nothing. What was not told, or
could not be read, is never called flat.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal, localcontext
from enum import StrEnum
from fractions import Fraction

from stopline.ledger.book import Book
from stopline.ledger.expiry import ends_at
from stopline.ledger.position import Position
from stopline.model.account import Account
from stopline.model.decimals import EXACT, ZERO, decimal_text, divide
from stopline.model.instrument import Instrument, Kind
from stopline.model.statement import Holding, Statement

HUNDRED = Decimal(100)
MOST_SPLIT = 50  # for one, either way
OF_ORDER = " order "
EVERY = "*"  # in what is blocked: every instrument
ODD_SPLITS = {(3, 2), (2, 3), (4, 3), (3, 4), (5, 4), (4, 5), (5, 2), (2, 5), (5, 3), (3, 5)}


class BreakKind(StrEnum):
    MISSING_AT_BROKER = "missing_at_broker"
    MISSING_HERE = "missing_here"
    QUANTITY = "quantity"
    SIGN = "sign"
    COST = "cost"  # blocks nothing: the risk is of the right size
    UNKNOWN_INSTRUMENT = "unknown_instrument"
    CORPORATE_ACTION = "corporate_action"
    EXPIRED = "expired"  # an option that is over, and that one side still has
    ORDER = "order_quantity"  # the fills of an order are not what its broker has filled: `order_sums.py`
    ORDER_START = "order_start"  # of what was filled before an order's first fill here; blocks nothing


class Stage(StrEnum):
    SUSPECTED = "suspected"
    CONFIRMED = "confirmed"


@dataclass(frozen=True, slots=True)
class Finding:
    """What comparing one instrument gave. `kind` None: both sides agree. `waits` says why it was not compared, `doubt` what
    the sides hold where these differ and it will be known within the quiet time whether fills were on their way.

    `ours` and `theirs` are signed units over all strategies and brokers, the prices averages of a unit; None is
    UNKNOWN. `brokers` are those whose statements show the instrument. `order`: whose units these are instead, of one
    broker, and the `session` that it began in, as its number may be given again; empty for what is held.
    """

    symbol: str
    kind: BreakKind | None = None
    ours: Decimal | None = None
    theirs: Decimal | None = None
    our_price: Decimal | None = None
    their_price: Decimal | None = None
    waits: str = ""
    doubt: str = ""
    brokers: tuple[str, ...] = ()
    order: str = ""
    session: date | None = None  # also of an order where an older version has found it

    @property
    def name(self) -> str:
        """What it is about: an instrument, or a broker's order of a session in one."""
        if not self.order:
            return self.symbol
        of = f" of {self.session.isoformat()}" if self.session else ""
        return f"{self._named} of {', '.join(self.brokers)}{of}"

    @property
    def names(self) -> tuple[str, ...]:
        """Its name, and what older versions called it: they knew an order by its number, then by its broker too."""
        if not self.order:
            return (self.symbol,)
        return self.name, self._named, f"{self._named} of {', '.join(self.brokers)}"

    @property
    def _named(self) -> str:
        return f"{self.symbol}{OF_ORDER}{self.order}"


@dataclass(frozen=True, slots=True)
class Break:
    """A difference that stands. `evidence` names the statements of the pass that found it first, `agreed_by` those
    of the first pass that found none since. `told`: whether people hear of it by itself, or as one of a number.
    """

    finding: Finding
    stage: Stage
    since: datetime
    evidence: str
    agreed_by: str = ""
    told: bool = True

    @property
    def blocks(self) -> bool:
        """Whether nothing may be added to the instrument: from the first look on, as nobody knows what is held. An order
        that does not add up may be one that its broker counts in a way of its own: it blocks when it is confirmed.
        """
        if self.finding.kind is BreakKind.ORDER:
            return self.stage is Stage.CONFIRMED
        return self.finding.kind not in (BreakKind.COST, BreakKind.ORDER_START)


class Turn(StrEnum):
    """What became of a break in one pass."""

    SUSPECTED = "suspected"
    CONFIRMED = "confirmed"
    CHANGED = "changed"
    CLEARED = "cleared"
    DROPPED = "dropped"  # it was suspected only


@dataclass(frozen=True, slots=True)
class Step:
    """One change: the break as it stands now, or as it stood when it ended."""

    turn: Turn
    item: Break


# --- comparing -----------------------------------------------------------------------------------------


def compare(
    account: Account,
    book: Book,
    statements: Mapping[str, Statement],
    now: datetime,
    also: Iterable[str] = (),
) -> list[Finding]:
    """Compare a book with the newest statement of each broker, instrument by instrument, by symbol.

    `also` are symbols to look at that may be gone on both sides. Empty without any statement.
    """
    if not statements:
        return []
    ours: dict[str, list[Position]] = {}
    for position in book.positions.values():
        ours.setdefault(position.instrument.symbol, []).append(position)
    told: dict[str, list[Holding]] = {}
    unread = {line for statement in statements.values() for line in statement.unread}
    for statement in statements.values():
        for holding in statement.positions:
            told.setdefault(holding.symbol, []).append(holding)
    findings = [
        Finding(line, BreakKind.UNKNOWN_INSTRUMENT, brokers=_showing(line, statements))
        for line in sorted(unread)
    ]
    with localcontext(EXACT):
        for symbol in sorted({*ours, *told, *also} - unread):
            held = ours.get(symbol, [])
            waits = _waits(account, symbol, held, statements, now)
            found = _compared(account, symbol, held, told.get(symbol, []), now)
            if waits and not (found.kind is None and waits.agreement_counts):
                is_doubt = waits.ends_soon and found.kind is not BreakKind.COST
                found = replace(found, kind=None, waits=waits.why, doubt=_sides(found) if is_doubt else "")
            findings.append(replace(found, brokers=_showing(symbol, statements)))
    return findings


def _showing(symbol: str, statements: Mapping[str, Statement]) -> tuple[str, ...]:
    """Return the brokers whose statements have an instrument, or a line that could not be read."""
    return tuple(
        broker
        for broker, told in sorted(statements.items())
        if symbol in told.unread or any(h.symbol == symbol and h.quantity for h in told.positions)
    )


@dataclass(frozen=True, slots=True)
class _Wait:
    why: str
    agreement_counts: bool = False  # what may not prove a difference may still prove that there is none
    ends_soon: bool = False  # within the quiet time, whether another statement comes or not


def _waits(
    account: Account,
    symbol: str,
    held: Sequence[Position],
    statements: Mapping[str, Statement],
    now: datetime,
) -> _Wait | None:
    """Say why an instrument cannot be compared now, or None."""
    quiet = timedelta(seconds=account.reconcile.quiet_s)
    last = max((p.last[0] for p in held if p.last), default=None)
    for broker in account.brokers:
        statement = statements.get(broker)
        if statement is None:
            return _Wait(f"no statement of broker {broker}")
        if not statement.tells_all and all(h.symbol != symbol for h in statement.positions):
            return _Wait(f"the statement of broker {broker} does not tell all")
        if last is not None and last + quiet > statement.as_of:
            return _Wait(f"a fill is as new as the statement of broker {broker}", agreement_counts=True)
        if statement.as_of + quiet > now:
            return _Wait("fills may be on their way", agreement_counts=True, ends_soon=True)
    return None


def _compared(
    account: Account, symbol: str, held: Sequence[Position], told: Sequence[Holding], now: datetime
) -> Finding:
    ours = sum((p.quantity for p in held), ZERO)
    theirs = sum((h.quantity for h in told), ZERO)
    contract = held[0].instrument if held else None
    found = Finding(symbol, None, ours, theirs, _our_price(held, contract), _their_price(told))
    kind = _kind(account, found, contract, told)
    if kind in (BreakKind.MISSING_AT_BROKER, BreakKind.MISSING_HERE, BreakKind.QUANTITY, BreakKind.SIGN):
        ended = ends_at(symbol, contract, account.sessions)
        kind = BreakKind.EXPIRED if ended is not None and ended <= now else kind
    return replace(found, kind=kind)


def _kind(
    account: Account, found: Finding, contract: Instrument | None, told: Sequence[Holding]
) -> BreakKind | None:
    ours, theirs = found.ours or ZERO, found.theirs or ZERO
    if contract is not None and ours and theirs:
        if any(h.currency not in (None, contract.currency) for h in told):
            return BreakKind.UNKNOWN_INSTRUMENT
        if any(h.multiplier not in (None, contract.multiplier) for h in told):
            return BreakKind.CORPORATE_ACTION  # an option that was adjusted, say
    if ours == theirs:
        return BreakKind.COST if ours and _cost_differs(account, found) else None
    if not theirs:
        return BreakKind.MISSING_AT_BROKER
    if not ours:
        return BreakKind.MISSING_HERE
    if (ours > 0) != (theirs > 0):
        return BreakKind.SIGN
    if contract is not None and contract.kind is Kind.EQUITY and _looks_split(account, found):
        return BreakKind.CORPORATE_ACTION
    return BreakKind.QUANTITY


def _our_price(held: Sequence[Position], contract: Instrument | None) -> Decimal | None:
    """Return the average price over all strategies; None when flat, for opposite positions and inverse contracts."""
    open_ = [p for p in held if p.quantity]
    if contract is None or not open_ or contract.inverse or len({p.quantity > 0 for p in open_}) > 1:
        return None
    units = sum((p.quantity for p in open_), ZERO) * contract.multiplier
    return divide(sum((p.cost for p in open_), ZERO), units)


def _their_price(told: Sequence[Holding]) -> Decimal | None:
    known = [(h.quantity, h.average_price) for h in told if h.quantity]
    units = sum((quantity for quantity, _ in known), ZERO)
    if not units or len({quantity > 0 for quantity, _ in known}) > 1:
        return None
    total = ZERO
    for quantity, price in known:
        if price is None:
            return None
        total += quantity * price
    return divide(total, units)


def _cost_differs(account: Account, found: Finding) -> bool:
    tolerance, ours, theirs = account.reconcile.cost_tolerance_pct, found.our_price, found.their_price
    if tolerance is None or ours is None or theirs is None:
        return False
    return abs(theirs - ours) * HUNDRED > abs(ours) * tolerance


def _looks_split(account: Account, found: Finding) -> bool:
    """Tell whether the numbers are those of a split: units by a whole ratio, and what they cost is the same."""
    ours, theirs, our_price, their_price = found.ours, found.theirs, found.our_price, found.their_price
    if not ours or not theirs or our_price is None or their_price is None:
        return False
    new, old = (Fraction(theirs) / Fraction(ours)).as_integer_ratio()
    simple = (1 in (new, old) and max(new, old) <= MOST_SPLIT) or (new, old) in ODD_SPLITS
    tolerance = account.reconcile.cost_tolerance_pct or Decimal(1)
    was, is_ = abs(ours * our_price), abs(theirs * their_price)
    return simple and abs(is_ - was) * HUNDRED <= was * tolerance


# --- passes ----------------------------------------------------------------------------------------------


def take_pass(
    breaks: Mapping[str, Break],
    findings: Sequence[Finding],
    evidence: Mapping[str, str],
    quiet: timedelta,
    now: datetime,
) -> tuple[dict[str, Break], list[Step]]:
    """Return the breaks that stand after one pass, by symbol, and what changed. `evidence` names each broker's statement."""
    standing = dict(breaks)
    steps: list[Step] = []
    for finding in findings:
        if finding.waits:
            continue
        known = standing.pop(finding.symbol, None)
        item, turn = (
            _agreed(known, finding, evidence)
            if finding.kind is None
            else _broken(known, finding, evidence, quiet, now)
        )
        if item is not None and turn not in (Turn.CLEARED, Turn.DROPPED):
            standing[finding.symbol] = item
        if item is not None and turn is not None:
            steps.append(Step(turn, item))
    return dict(sorted(standing.items())), steps


def evidence_text(evidence: Mapping[str, str]) -> str:
    """Return the names of statements as one text."""
    return " ".join(f"{broker}/{name}" for broker, name in sorted(evidence.items()))


def _renewed(text: str, evidence: Mapping[str, str], brokers: Iterable[str]) -> bool:
    """Tell whether each of some brokers has sent another statement than a text of before names; of none, each of all."""
    asked = set(brokers) & set(evidence) or set(evidence)
    named = text.split(" ")
    return not any(evidence_text({broker: evidence[broker]}) in named for broker in asked)


def _agreed(
    known: Break | None, finding: Finding, evidence: Mapping[str, str]
) -> tuple[Break | None, Turn | None]:
    if known is None:
        return None, None
    if known.stage is Stage.SUSPECTED:
        return replace(known, finding=replace(finding, kind=known.finding.kind)), Turn.DROPPED
    explained = finding.ours != known.finding.ours  # a fill or an adjustment: two witnesses now say the same
    # who answers differently now showed the instrument before, or shows it now
    concerned = (*known.finding.brokers, *finding.brokers)
    if explained or (known.agreed_by and _renewed(known.agreed_by, evidence, concerned)):
        return replace(known, finding=replace(finding, kind=known.finding.kind)), Turn.CLEARED
    return replace(known, agreed_by=known.agreed_by or evidence_text(evidence)), None


def _broken(
    known: Break | None, finding: Finding, evidence: Mapping[str, str], quiet: timedelta, now: datetime
) -> tuple[Break, Turn | None]:
    if known is None:
        return Break(finding, Stage.SUSPECTED, now, evidence_text(evidence)), Turn.SUSPECTED
    if known.stage is Stage.SUSPECTED:
        # any broker may be the one that does not show what it has
        if not _renewed(known.evidence, evidence, evidence) and now - known.since < quiet:
            return replace(known, finding=finding), None
        return replace(known, finding=finding, stage=Stage.CONFIRMED), Turn.CONFIRMED
    changed = replace(known, finding=finding, agreed_by="")
    return changed, None if is_same(known.finding, finding) else Turn.CHANGED


def is_same(one: Finding, other: Finding) -> bool:
    """Tell whether two findings are the same difference: a fill that both sides have changes nothing."""
    if one.kind is not other.kind:
        return False
    return one.kind is BreakKind.COST or _difference(one) == _difference(other)


def _difference(finding: Finding) -> Decimal | None:
    if finding.ours is None or finding.theirs is None:
        return None
    return EXACT.subtract(finding.theirs, finding.ours)


def blocked(breaks: Mapping[str, Break]) -> dict[str, str]:
    """Return the symbols to which nothing may be added, each with why in words."""
    return {item.finding.symbol: words(item.finding) for item in breaks.values() if item.blocks}


def words(finding: Finding) -> str:
    """Say what differs, for people."""
    here, there = _number(finding.ours), _number(finding.theirs)
    match finding.kind:
        case None:
            return finding.waits or f"both hold {here}"
        case BreakKind.MISSING_AT_BROKER:
            return f"we hold {here}, the broker none"
        case BreakKind.MISSING_HERE:
            return f"the broker holds {there}, we none"
        case BreakKind.EXPIRED:
            sides = f"we hold {here}, the broker {there}"
            return f"it has expired, and {sides}: an expiry, exercise, assignment or settlement has come to one side only"
        case BreakKind.SIGN:
            return f"we hold {here}, the broker {there}: the other side"
        case BreakKind.COST:
            return f"our average price is {_number(finding.our_price)}, the broker's {_number(finding.their_price)}"
        case BreakKind.UNKNOWN_INSTRUMENT:
            return "the broker holds a contract that cannot be told from what it says"
        case BreakKind.CORPORATE_ACTION:
            return f"we hold {here}, the broker {there}: as after a split or an adjusted contract"
        case BreakKind.ORDER:
            return _of_order(finding)
        case BreakKind.ORDER_START:
            return f"{_of_order(finding)}: the rest was filled before, and lost here or by an order that it replaces"
    return _sides(finding)


def _sides(finding: Finding) -> str:
    return f"we hold {_number(finding.ours)}, the broker {_number(finding.theirs)}"


def _of_order(finding: Finding) -> str:
    here, there = _number(finding.ours), _number(finding.theirs)
    return f"order {finding.order} has filled {there} by what {', '.join(finding.brokers)} says, {here} are booked"


def _number(value: Decimal | None) -> str:
    return "unknown" if value is None else decimal_text(value)


# --- overdue ---------------------------------------------------------------------------------------------


def overdue(account: Account, read_at: Mapping[str, datetime], now: datetime) -> list[str] | None:
    """Return the brokers whose statement is due: none that is complete came for too long while the market is open.
    None while nothing can be due.

    `read_at` is the moment of each broker's last complete statement.
    """
    every, sessions = account.reconcile.expect_every_min, account.sessions
    if every is None:
        return []
    since = now - timedelta(minutes=every)
    if not sessions.is_open(now) or not (sessions.every_day or _opened(account, now) <= since):
        return None
    return [broker for broker in account.brokers if broker not in read_at or read_at[broker] < since]


def _opened(account: Account, now: datetime) -> datetime:
    sessions = account.sessions
    return sessions.open_of(sessions.session_of(now))
