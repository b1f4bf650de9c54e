"""What people are told about closings."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from stopline.ledger.book import Book
from stopline.ledger.position import Position
from stopline.model.closing import CloseRequest
from stopline.model.closing_state import Asked, Sent
from stopline.model.control import Closing, account_scope
from stopline.model.decimals import decimal_text
from stopline.model.ids import digest
from stopline.model.messages import Alert, Figure, Severity
from stopline.model.settings.closing import ClosingSettings
from stopline.rules.alerting.text_parts import trade_name, whose
from stopline.rules.closing.executions import slippage
from stopline.rules.closing.splits import before_split
from stopline.rules.closing.targets import named, uncovered

ALONE = "alone:"  # begins the key of a leg that is alone

Told = tuple[str, Alert]
"""A key under which it is remembered that people were told, and the alert."""


def flat(account: str, scope: str, halt: Closing, since: datetime, refused: str, now: datetime) -> Alert:
    """The fills have closed what the halt of a scope had to close; nothing is said of the rest of the account. `since`:
    when that began; `refused`: who has refused its cancel; empty where nobody is known to have.
    """
    seconds = int((now - since).total_seconds())
    return Alert(
        alert_id=digest("flat", scope, str(halt.epoch), str(now)),
        account=account,
        kind="flat",
        object=scope,
        severity=Severity.WARNING,
        summary=f"{whose(scope)} is flat: the fills prove it, {seconds} s after the halt"
        + (f", but {refused}" if refused else ""),
        action="Orders may work there and open positions again: cancel them at the broker by hand."
        if refused
        else "",
        raised_at=now,
        resolved=True,
    )


def nothing_held(account: str, scope: str, epoch: int, why: str, now: datetime) -> Alert:
    """A kill names what nobody holds: it is stored, and has closed nothing."""
    return Alert(
        alert_id=digest("nothing_held", scope, str(epoch)),
        account=account,
        kind="not_flat",
        object=scope,
        severity=Severity.CRITICAL,
        summary=f"{whose(scope)} is halted, and nothing was closed: {why}"[:500],
        action="If the name was mistyped, stop what you meant now. The halt of this name stands until it is resumed.",
        raised_at=now,
    )


def closed(asked: Asked, now: datetime) -> Alert:
    """The fills have closed what a request asked for."""
    request, seconds = asked.request, int((now - asked.since).total_seconds())
    left = f" down to {decimal_text(request.leave)}" if request.leave else ""
    return _about(
        asked,
        Severity.INFO,
        f"{_named(request)} is closed{left}: the fills prove it, {seconds} s after {_rule(request)}",
        "",
        now,
        kind="closed",
        resolved=True,
        figure=Figure(current=request.leave, unit="units") if request.leave else None,
    )


def refused(asked: Asked, now: datetime) -> Alert:
    """A request names a trade that nobody knows: nothing is closed."""
    request = asked.request
    return _about(
        asked,
        Severity.CRITICAL,
        f"{_named(request)} cannot be closed: there is no such trade",
        "Nothing was sent. Look at the book, and close by hand what must go.",
        now,
        kind="closing_refused",
    )


def astray(asked: Asked, units: Mapping[str, Decimal], why: str, now: datetime) -> Told:
    """The book does not show of a trade what was executed for it."""
    request = asked.request
    open_ = _open(units)
    alert = _about(
        asked,
        Severity.CRITICAL,
        f"{_named(request)} still shows {open_} open that were executed for its {_rule(request)}: {why}",
        "Nothing more is sent for it, and its stops do not trigger. Compare with the broker: if more must go, close the "
        "position. Have the adapter copy group_id into the fills.",
        now,
        kind="closing_astray",
    )
    plain = {key: before_split(count, asked.splits.get(key)) for key, count in units.items()}
    return f"astray:{request.trade_id}:{_open(plain)}", alert


def _open(units: Mapping[str, Decimal]) -> str:
    return ", ".join(f"{decimal_text(count)} {key.partition(':')[2]}" for key, count in units.items())


def resting(account: str, position: Position, units: Decimal, left: Decimal, now: datetime) -> Alert:
    """Orders at a broker are cancelled so that a part of a position can go."""
    symbol, rest = position.instrument.symbol, decimal_text(left)
    return Alert(
        alert_id=digest("resting_cancelled", account, position.key, str(now)),
        account=account,
        kind="resting_cancelled",
        object=position.key,
        severity=Severity.WARNING,
        summary=f"A part of {symbol} ({position.strategy}) is closed, which leaves {rest}; orders that rest against it, of "
        f"{decimal_text(units)}, are cancelled",
        action=f"No stop of yours rests at the broker any more. Place one of {rest} anew if you rely on it.",
        raised_at=now,
    )


def waiting(asked: Asked, now: datetime) -> Alert:
    """A request can send nothing now."""
    request = asked.request
    return _about(
        asked,
        Severity.WARNING,
        f"{_named(request)} should be closed ({_rule(request)}) and waits: {asked.waits}",
        "It is closed as soon as that is over.",
        now,
        kind="closing_waits",
    )


def ended(asked: Iterable[Asked], book: Book, now: datetime) -> list[Alert]:
    """People have resumed what requests were to close: one alert for all of the same."""
    same: dict[str, list[Asked]] = {}
    for one in asked:
        same.setdefault(one.request.object, []).append(one)
    return [_ended(some, named(some[0].request, book), now) for some in same.values()]


def _ended(asked: Sequence[Asked], units: Mapping[str, Decimal], now: datetime) -> Alert:
    request = asked[0].request
    rules = ", ".join(dict.fromkeys(_rule(one.request) for one in asked))
    open_ = [f"{decimal_text(count)} {key.partition(':')[2]}" for key, count in units.items()]
    more = f" and {len(open_) - 5} more" if len(open_) > 5 else ""
    return Alert(
        alert_id=digest("closing_ended", request.account, *(one.request.request_id for one in asked)),
        account=request.account,
        kind="closing_ended",
        object=request.object,
        severity=Severity.WARNING,
        summary=f"{_named(request)} was resumed: its closing ({rules}) ends with {', '.join(open_[:5])}{more} open"[
            :500
        ],
        action="Nothing more is sent for it; what is still working is cancelled. Close by hand what must go.",
        cause=request.cause,
        raised_at=now,
        resolved=True,
    )


def _named(request: CloseRequest) -> str:
    """Name what is closed: `Trade 4f1c0e7a of condors`, `Position SPY`."""
    if request.scope != "trade":
        return f"{request.scope.capitalize()} {request.object}"
    return f"Trade {request.object[:8]}{f' of {request.strategy}' if request.strategy else ''}"


def _rule(request: CloseRequest) -> str:
    return request.rule.replace("_", " ")


def _about(
    asked: Asked,
    severity: Severity,
    summary: str,
    action: str,
    now: datetime,
    kind: str,
    resolved: bool = False,
    figure: Figure | None = None,
) -> Alert:
    request = asked.request
    return Alert(
        alert_id=digest(kind, request.account, request.request_id, asked.waits),
        account=request.account,
        kind=kind,
        object=trade_name(request.object) if request.scope == "trade" else request.object,
        severity=severity,
        summary=summary[:500],
        action=action,
        figure=figure,
        cause=request.cause,
        raised_at=now,
        resolved=resolved,
    )


def halt_waiting(account: str, scope: str, halt: Closing, reasons: Sequence[str], now: datetime) -> Alert:
    """A halt cannot close what it must."""
    return Alert(
        alert_id=digest("closing_waits", scope, str(halt.epoch), *reasons),
        account=account,
        kind="closing_waits",
        object=scope,
        severity=Severity.CRITICAL,
        summary=f"{whose(scope)} is halted and not flat, and waits: {'; '.join(reasons)}"[:500],
        action="Positions are closed as soon as that is over. Look at the broker if it cannot wait.",
        raised_at=now,
    )


def denied(account: str, scope: str, halt: Closing, why: str, now: datetime) -> Alert:
    """The fills say flat, and a broker's statement does not."""
    return Alert(
        alert_id=digest("not_flat", scope, str(halt.epoch), why),
        account=account,
        kind="not_flat",
        object=scope,
        severity=Severity.CRITICAL,
        summary=f"{whose(scope)} is flat by its fills, but not by the broker's statement: {why}"[:500],
        action="It is not called flat before they agree. Look at the broker, and close there what is left.",
        raised_at=now,
    )


def stuck(
    account: str, again: Sequence[Sent], errors: Mapping[str, str], serial: int, now: datetime
) -> Alert:
    """Positions stay open although they were told to close."""
    failed = max(sent.round for sent in again) - 1
    symbols = sorted({leg.instrument.symbol for sent in again for leg in sent.legs})
    more = f" and {len(symbols) - 5} more" if len(symbols) > 5 else ""
    said = next((f". The broker: {error}" for error in errors.values() if error), "")
    return Alert(
        alert_id=digest("stuck", account, str(again[0].epoch), str(serial)),
        account=account,
        kind="closing_stuck",
        object=account_scope(account),
        severity=Severity.CRITICAL,
        summary=f"Still open in account {account} after {failed} close commands: {', '.join(symbols[:5])}{more}{said}"[
            :500
        ],
        action="Stopline keeps sending. Look at the broker, and close by hand if it does not.",
        raised_at=now,
    )


def unstuck(account: str, serial: int, now: datetime) -> Alert:
    """Nothing stays open any more although it was told to close again and again."""
    return Alert(
        alert_id=digest("unstuck", account, str(serial), str(now)),
        account=account,
        kind="closing_stuck",
        object=account_scope(account),
        severity=Severity.INFO,
        summary=f"Account {account}: what did not close is closed, or is not to be closed any more",
        raised_at=now,
        resolved=True,
    )


def overfilled(account: str, sent: Iterable[Sent], now: datetime) -> list[Told]:
    """The fills of a command are more than it asked for."""
    found = []
    for one in sent:
        for leg in one.legs:
            if leg.filled <= leg.quantity:
                continue
            summary = (
                f"A close of {decimal_text(leg.quantity)} {leg.instrument.symbol} has fills of "
                f"{decimal_text(leg.filled)}: the broker executed or reported it twice"
            )
            alert = Alert(
                alert_id=digest("overfilled", account, one.command_id, leg.key, str(leg.filled)),
                account=account,
                kind="overfilled",
                object=leg.key,
                severity=Severity.CRITICAL,
                summary=summary,
                action="Compare with the broker: bust what it did not execute.",
                cause=one.command_id,
                raised_at=now,
            )
            found.append((f"over:{one.command_id}:{leg.key}:{leg.filled}", alert))
    return found


def legs_alone(account: str, sent: Iterable[Sent], book: Book, now: datetime) -> list[Told]:
    """A broker has sold a long leg while the short one that it covered is still open."""
    found = []
    for one in sent:
        for leg in one.legs:
            if leg.side != "SELL" or not leg.filled or leg.key not in book.positions:
                continue
            naked = uncovered(book, leg.key)
            if not naked:
                continue
            units = decimal_text(naked)
            alert = Alert(
                alert_id=digest("leg_alone", account, one.command_id, leg.key, str(now)),
                account=account,
                kind="leg_alone",
                object=leg.instrument.underlying,
                severity=Severity.CRITICAL,
                summary=f"Short {leg.instrument.underlying} is naked by {units} units of the underlying: "
                f"{leg.instrument.symbol} was sold first",
                action="Stopline keeps buying the short leg back. Look at the broker.",
                cause=one.command_id,
                raised_at=now,
            )
            found.append((f"{ALONE}{one.command_id}:{leg.key}", alert))
    return found


def legs_covered(account: str, alone: Iterable[str], book: Book, now: datetime) -> list[Told]:
    """No short unit of an underlying is naked any more for want of a leg that was sold. `alone`: the keys under which it was
    told that one is; the alert of an underlying comes under each of its own.
    """
    legs = {key: key.split(":", 2)[2] for key in alone}
    naked: dict[str, bool] = {}
    for leg in legs.values():
        if leg in book.positions:
            underlying = book.positions[leg].instrument.underlying
            naked[underlying] = naked.get(underlying, False) or uncovered(book, leg) > 0
    found = []
    for key, leg in legs.items():
        underlying = book.positions[leg].instrument.underlying if leg in book.positions else ""
        if naked.get(underlying) is False:
            alert = Alert(
                alert_id=digest("leg_covered", account, underlying, str(now)),
                account=account,
                kind="leg_alone",
                object=underlying,
                severity=Severity.INFO,
                summary=f"No short {underlying} is naked any more in account {account}",
                raised_at=now,
                resolved=True,
            )
            found.append((key, alert))
    return found


def large_slippage(account: str, sent: Sent, settings: ClosingSettings, now: datetime) -> Alert | None:
    """A command was executed far worse than the mark when it was sent."""
    worst: tuple[Decimal, Decimal, str, str] | None = None
    for leg in sent.legs:
        found = slippage(leg)
        if found is None or found.bps is None:
            continue
        if found.bps >= settings.slippage_bps and found.money >= settings.slippage_money and found.money > 0:
            worst = max(
                worst or (found.money, found.bps, "", ""),
                (found.money, found.bps, leg.instrument.symbol, leg.instrument.currency),
            )
    if worst is None:
        return None
    money, bps, symbol, currency = worst
    return Alert(
        alert_id=digest("large_slippage", account, sent.command_id),
        account=account,
        kind="large_slippage",
        object=symbol,
        severity=Severity.WARNING,
        summary=f"Closing {symbol} cost {decimal_text(money)} {currency} more than the mark ({decimal_text(bps)} bps)",
        figure=Figure(current=money, limit=settings.slippage_money, unit=currency),
        cause=sent.command_id,
        raised_at=now,
    )
