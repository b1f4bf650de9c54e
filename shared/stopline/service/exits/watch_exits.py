"""Watch the exits of an account: what a batch of prices, or a sweep, triggers, and what is remembered of it.

Everything that follows, requests to close too, is committed with the state that it follows from.
"""

import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from math import nan

from stopline.ledger.book import Book
from stopline.model.account import Account
from stopline.model.closing import CloseRequest
from stopline.model.closing_state import ClosingState
from stopline.model.control import ClosingStatus, Standing
from stopline.model.instrument import Instrument, Kind
from stopline.model.messages import Alert, Effect
from stopline.model.scopes import strategy_scope
from stopline.rules.exits.alerts import (
    blind_strategy,
    close_strategy,
    close_trade,
    exit_alert,
    over_alert,
    paused_alert,
    stop_strategy,
    strategy_alert,
    strategy_over_alert,
    strategy_stuck_alert,
    stuck_alert,
)
from stopline.rules.exits.faults import lacks_entry, lacks_r, lacks_range
from stopline.rules.exits.plan import plan_of
from stopline.rules.exits.state import FRESH, ExitState
from stopline.rules.exits.strategy_exits import (
    UNSEEN,
    StrategyState,
    StrategyStep,
    advance_strategy,
    is_late,
    is_over,
    recounted,
    resumed,
)
from stopline.rules.exits.subject import first_base, mtm_of, unwatched, watches
from stopline.rules.exits.table import NOTHING, ExitTable, Seen, Watch
from stopline.rules.exits.trade_exits import STUCK, Step, is_advised
from stopline.rules.limits.figures import Rate, Valued
from stopline.rules.limits.net_greeks import AccountGreeks
from stopline.service.documents.outbox import CONTROLS_TOPIC
from stopline.service.exits.encoding import AccountExits
from stopline.service.exits.trade_health import Checkup, examine
from stopline.service.prices.marks import Mark

SOON = timedelta(seconds=1)  # what was reached is written this fast, however seldom the rest is

StandingOf = Callable[[str], Standing]
"""Where a scope stands, as stored."""

ClosingsOf = Callable[[str], ClosingState]
"""The closings of an account, as stored."""


@dataclass(slots=True)
class ExitNews:
    """What watching led to. `urgent`: to be written at once; `moved`: to be written soon. `checkup` looks at every
    trade for people, which only a state that is written needs.
    """

    exits: AccountExits
    checkup: Callable[[], Checkup]
    alerts: list[Alert] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    urgent: bool = False
    moved: bool = False

    def is_due(self, since: timedelta) -> bool:
        """Tell whether it must be written now, `since` the last time."""
        return self.urgent or (self.moved and since >= SOON)


@dataclass(slots=True)
class _Desk:
    """An account's trades laid out, for one book and one version of the settings."""

    account: Account
    book: Book
    watched: list[Watch]
    table: ExitTable
    unwatched: list[str]  # names of trades that no exit can see
    by_range: list[Watch]  # trades of which something counts in an average true range
    contracts: Mapping[str, Instrument]  # that are held, by symbol
    always: frozenset[str]  # symbols that trade around the clock


class ExitWatcher:
    """Watches the exits of accounts. Safe to call from several threads."""

    def __init__(self, standing: StandingOf, closings: ClosingsOf) -> None:
        self._standing = standing
        self._closings = closings
        self._desks: dict[str, _Desk] = {}
        self._lock = threading.Lock()

    def watch(
        self,
        account: Account,
        book: Book,
        positions: Sequence[Valued],
        marks: Mapping[str, Mark],
        rate: Rate,
        greeks: AccountGreeks | None,
        old: AccountExits,
        now: datetime,
        cause: str,
        look: bool,
    ) -> ExitNews:
        """Return what the marks and the time do to an account's trades and strategies.

        `look`: ask whether people have resumed stopped strategies, which costs a read for each.
        """
        begins = account.sessions.session_start(account.sessions.session_of(now))
        with self._lock:
            desk = self._desk(account, book, old, now)
            seen = {s: _seen(marks.get(s), desk.contracts.get(s)) for s in desk.table.symbols}
            closing = _closing(self._closings(account.account), desk) if desk.table.has_odd else frozenset()
            changed, stale = desk.table.steps(seen, now, closing, begins)

        def checkup() -> Checkup:
            return examine(
                account,
                desk.watched,
                news.exits,
                frozenset(unknown),
                positions,
                marks,
                greeks,
                rate,
                now,
                cause,
            )

        news = ExitNews(old, checkup)
        ids = (w.held.trade_id for w in desk.table.watched)
        trades = {id_: old.trades[id_] for id_ in ids if id_ in old.trades}
        for w, step in changed:
            if step.stuck and _waits(account, [desk.contracts.get(s) for s, _ in w.legs], marks, now):
                step = _postponed(step, now)
            trades[w.held.trade_id] = step.state
            _tell_trade(account.account, w, step, cause, now, news)
        news.alerts += _over(account.account, book, old, trades.keys(), cause, now)
        strategies, unknown = self._strategies(
            account, book, positions, marks, rate, old, now, cause, look, news
        )
        news.alerts += [
            strategy_over_alert(account.account, name, cause, now)
            for name, state in old.strategies.items()
            if is_over(state, strategies.get(name, UNSEEN))
        ]
        blind = _blind(desk, unknown, now)
        bare = _bare(desk, trades)
        paused = tuple(sorted({*_missed(desk, stale, now), *blind, *bare, *desk.unwatched}))
        is_open = account.sessions.is_open(now)
        told = paused_alert(account.account, paused, old.paused, bool(blind), is_open, cause, now)
        news.alerts += [told] if told else []
        kept = tuple(id_ for id_ in old.degraded if any(w.held.trade_id == id_ for w in desk.watched))
        news.exits = AccountExits(trades, strategies, paused, kept)
        news.moved = bool(changed) or len(trades) != len(old.trades) or strategies != dict(old.strategies)
        return news

    def _desk(self, account: Account, book: Book, old: AccountExits, now: datetime) -> _Desk:
        desk = self._desks.get(account.account)
        if desk is None or desk.book is not book or desk.account != account:
            watched = watches(account, book.open_trades())
            table = ExitTable([w for w in watched if not w.plan.is_empty], old.trades, now)
            held = {p.instrument.symbol: p.instrument for p in book.open_positions()}
            desk = self._desks[account.account] = _Desk(
                account,
                book,
                watched,
                table,
                _unwatched(account, book, watched, old),
                [w for w in watched if w.plan.needs_atr],
                held,
                frozenset(s for s, i in held.items() if account.sessions_of(i).every_day),
            )
        else:
            desk.table.sync(old.trades, now)
        return desk

    def _strategies(
        self,
        account: Account,
        book: Book,
        positions: Sequence[Valued],
        marks: Mapping[str, Mark],
        rate: Rate,
        old: AccountExits,
        now: datetime,
        cause: str,
        look: bool,
        news: ExitNews,
    ) -> tuple[dict[str, StrategyState], dict[str, tuple[str, ...]]]:
        """Return what is to be remembered of the strategies that have a rule on their MTM, and those whose rules wait
        because it is UNKNOWN, with the symbols that have no price.
        """
        result: dict[str, StrategyState] = {}
        unknown: dict[str, tuple[str, ...]] = {}
        settings = {n: s for n, s in account.exits.strategies.items() if s.watches_mtm}
        if not settings:
            return result, unknown
        session = account.sessions.session_of(now)
        seen = {v.position.instrument.symbol for v in positions}
        times = {symbol: marks[symbol].as_of for symbol in seen if symbol in marks}
        for name, some in settings.items():
            of = partial(mtm_of, name, book=book, positions=positions, seen=times, rate=rate)
            state, mtm = recounted(old.strategies.get(name, UNSEEN), some, of(some), of)
            held = [v.position.instrument for v in positions if v.position.strategy == name]
            waits = state.stopped is not None and _waits(account, held, marks, now)
            look_now = look or is_late(state, mtm, now, waits)
            if look_now and self._is_resumed(account.account, name, state):
                state = resumed(state, mtm)
            base = None
            if state.session is None:
                base = first_base(name, some, book, account.sessions.session_start(session), rate)
            switch = plan_of(account.exits, name).auto_close
            step = advance_strategy(some, state, mtm, base, session, now, switch, waits)
            result[name] = step.state
            if mtm.total is None and (step.state.stopped is None or step.state.stopped.advisory):
                unknown[name] = mtm.unknown
            _tell_strategy(account, name, step, switch, cause, now, news)
        return result, unknown

    def _is_resumed(self, account: str, strategy: str, state: StrategyState) -> bool:
        if state.stopped is None or state.stopped.advisory:
            return False
        at = self._standing(strategy_scope(account, strategy)).last_resume
        return at is not None and at > state.stopped.at


def _over(
    account: str, book: Book, old: AccountExits, kept: Collection[str], cause: str, now: datetime
) -> list[Alert]:
    """Return the alerts that end what people were told of trades that are not watched any more: what they close by hand no
    closing ends.
    """
    over = [id_ for id_, state in old.trades.items() if id_ not in kept and is_advised(state)]
    if not over:
        return []
    open_ = {trade.trade_id for trade in book.open_trades()}
    return [over_alert(account, id_, id_ in open_, cause, now) for id_ in over]


def _missed(desk: _Desk, stale: Sequence[Watch], now: datetime) -> set[str]:
    """Return the trades that have no fresh price although their market has been open long enough for one."""
    awaited = _awaited(desk, now)
    return {w.held.name for w in stale if awaited or any(symbol in desk.always for symbol, _ in w.legs)}


def _blind(desk: _Desk, unknown: Mapping[str, tuple[str, ...]], now: datetime) -> set[str]:
    """Return the strategies whose MTM is unknown, likewise, in words for people."""
    awaited = _awaited(desk, now)
    around = {
        p.strategy for p in desk.book.open_positions() if p.instrument.symbol in desk.always
    }  # strategies that hold what trades around the clock
    return {blind_strategy(name, symbols) for name, symbols in unknown.items() if awaited or name in around}


def _awaited(desk: _Desk, now: datetime) -> bool:
    age = timedelta(seconds=desk.account.price_max_age_s)
    return desk.account.sessions.awaits_prices(now, age)


def _closing(state: ClosingState, desk: _Desk) -> frozenset[str]:
    """Return the ids of the trades that somebody has asked to be closed, all or a part, and that are not closed yet."""
    halt = state.halt is not None and state.halt.status is ClosingStatus.CLOSING
    requests = [asked.request for asked in state.open_requests]
    return frozenset(
        w.held.trade_id for w in desk.watched if halt or any(_is_of(r, w, desk.contracts) for r in requests)
    )


def _is_of(request: CloseRequest, w: Watch, contracts: Mapping[str, Instrument]) -> bool:
    if request.trade_id is not None:
        return request.trade_id == w.held.trade_id
    symbols = {symbol for symbol, _ in w.legs}
    underlyings = {contracts[symbol].underlying for symbol in symbols if symbol in contracts}
    return (
        request.strategy in (None, w.held.strategy)
        and (request.symbol is None or request.symbol in symbols)
        and (request.underlying is None or request.underlying in underlyings)
    )


def _unwatched(account: Account, book: Book, watched: Sequence[Watch], old: AccountExits) -> list[str]:
    """Return the trades with rules that never trigger, in words for people."""
    found = unwatched(account, book.open_trades())
    for w in watched:
        why = lacks_r(w.plan, w.held, old.trades.get(w.held.trade_id, FRESH))
        found += [f"{w.held.name} (rules in R never trigger: stop_loss {why})"] if why else []
        what = lacks_entry(w.plan, w.held)
        found += [f"{w.held.name} (never triggers: {what})"] if what else []
    return found


def _bare(desk: _Desk, states: Mapping[str, ExitState]) -> set[str]:
    """Return the trades whose only stop is not there yet, in words for people."""
    found = ((w, lacks_range(w.plan, w.held, states.get(w.held.trade_id, FRESH))) for w in desk.by_range)
    return {f"{w.held.name} (no stop {why}; its other exits go on)" for w, why in found if why}


def _seen(mark: Mark | None, contract: Instrument | None) -> Seen:
    if mark is None:
        return NOTHING
    price, at = mark.quote.mark, mark.as_of.timestamp()
    is_possible = price > 0 or contract is None or (price <= 0 and contract.allows_price(Decimal(price)))
    return Seen(price if is_possible else nan, at)


def _waits(
    account: Account, held: Iterable[Instrument | None], marks: Mapping[str, Mark], now: datetime
) -> bool:
    """Tell whether the closing of contracts waits for their market to open, or did within the last minute."""
    if account.sessions.awaits_prices(now, STUCK):
        return False
    is_open, oldest = account.sessions.is_open(now), now - timedelta(seconds=account.price_max_age_s)
    fresh = () if is_open else {symbol for symbol, mark in marks.items() if mark.as_of >= oldest}
    return all(c is not None and c.kind in (Kind.EQUITY, Kind.OPTION) and c.symbol not in fresh for c in held)


def _postponed(step: Step, now: datetime) -> Step:
    """Return a step whose close has its minute from now on, and is not called stuck."""
    assert step.state.asked
    return Step(replace(step.state, asked=replace(step.state.asked, at=now, stuck=False)))


def _tell_trade(account: str, w: Watch, step: Step, cause: str, now: datetime, news: ExitNews) -> None:
    """Add what a trade's step asks for."""
    held, found, asked = w.held, step.exit, step.state.asked
    news.urgent = news.urgent or step.suspect or step.stuck or found is not None
    if found is not None:
        news.alerts.append(exit_alert(account, held, found, w.plan.auto_close, cause, now))
        if w.plan.auto_close:
            news.effects.append(close_trade(account, held, found, found.urgency == "urgent", cause, now))
    elif step.stuck and asked is not None:
        news.alerts.append(stuck_alert(account, held, asked, cause, now))
        news.effects.append(close_trade(account, held, asked, True, cause, now))


def _tell_strategy(
    account: Account,
    name: str,
    step: StrategyStep,
    auto_close: bool,
    cause: str,
    now: datetime,
    news: ExitNews,
) -> None:
    """Add what a strategy's step asks for: all trades closed, and nothing new let through."""
    owner, found, stopped = account.account, step.exit, step.state.stopped
    news.urgent = news.urgent or step.suspect or step.stuck or found is not None
    if found is not None:
        news.alerts.append(strategy_alert(owner, name, account.currency, found, auto_close, cause, now))
        if auto_close:
            id_, body = stop_strategy(owner, name, found, cause)
            news.effects.append(Effect(id_, CONTROLS_TOPIC, owner, body))
            news.effects.append(close_strategy(owner, name, found.rule, found.reason, True, cause, now))
    elif step.stuck and stopped is not None:
        news.alerts.append(strategy_stuck_alert(owner, name, stopped, cause, now))
        reason = "it has open trades although it is stopped"
        news.effects.append(close_strategy(owner, name, stopped.rule, reason, True, cause, now))
