"""Evaluate one account: value its book, read its limits, and write what changed with its alerts in one
commit.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial

from stopline.ledger.book import Book
from stopline.ledger.lifecycle import SpotOf
from stopline.ledger.position import Position
from stopline.model.account import Account
from stopline.model.decimals import EXACT
from stopline.model.errors import Transient
from stopline.model.instrument import Instrument
from stopline.model.messages import alert_effect
from stopline.risk.border import to_decimal
from stopline.risk.columns import Columns
from stopline.risk.factors import Factors
from stopline.rules.limits.figures import Market, Rate, Valued, figures
from stopline.rules.limits.net_greeks import AccountGreeks
from stopline.rules.limits.registry import readings
from stopline.rules.limits.stops import stops_after
from stopline.rules.limits.trend import followed as followed_limits
from stopline.rules.limits.watch import blind_spots, data_alert, gone_alerts, limit_alerts, watch
from stopline.rules.reduction.watch import watch_reductions
from stopline.rules.trading.breaker_facts import money_facts, sure_facts
from stopline.rules.trading.breakers import MONEY_BREAKERS, advance, awaits_second, in_session
from stopline.rules.trading.second_reading import PriceTimes
from stopline.rules.watching.levels import followed_levels
from stopline.rules.watching.trades import Index
from stopline.service.accounts.levels import market_facts
from stopline.service.documents.aggregate import Aggregates, Change
from stopline.service.evaluation.lost_risk import lost_effects
from stopline.service.evaluation.price_times import times_of
from stopline.service.evaluation.risk_state import RiskState
from stopline.service.evaluation.snapshot import show, snapshot_row
from stopline.service.evaluation.watch_lifecycle import follow_lifecycle
from stopline.service.evaluation.watch_trades import follow_trades, index_reading
from stopline.service.exits.watch_exits import ExitNews, ExitWatcher
from stopline.service.history.rows import history_effect
from stopline.service.prices.market import market_of
from stopline.service.prices.marks import Mark, is_of_old_units, is_usable
from stopline.service.trading.breaker_effects import Lifted, breaker_effects
from stopline.service.trading.limit_effects import Ended, limit_effects

SNAPSHOT_EVERY = timedelta(seconds=60)


def value_positions(
    columns: Columns, marks: Mapping[str, Mark], accounts: Iterable[Account], now: datetime
) -> dict[str, list[Valued]]:
    """Value the open positions of accounts, exactly; a price that may not be used counts as none."""
    result: dict[str, list[Valued]] = {}
    for account in accounts:
        rows = columns.slices[account.account]
        fresh_since = now - timedelta(seconds=account.price_max_age_s)
        usable = {
            s: (marks[s], to_decimal(marks[s].quote.mark))
            for s, of in _held(columns, rows).items()
            if s in marks and is_usable(marks[s], account, now, of)
        }
        result[account.account] = [_valued(p, usable, fresh_since) for p in columns.positions[rows]]
    return result


def _held(columns: Columns, rows: slice) -> dict[str, Instrument]:
    return {position.instrument.symbol: position.instrument for position in columns.positions[rows]}


def _valued(
    position: Position, usable: Mapping[str, tuple[Mark, Decimal | None]], fresh_since: datetime
) -> Valued:
    """Value a position at its mark; without a usable one at the price of its own last execution, while that is
    fresh. After a split only a price of after it is one.
    """
    contract = position.instrument
    known, mark = usable.get(contract.symbol, (None, None))
    if known and mark is not None and contract.allows_price(mark) and not is_of_old_units(known, position):
        return _at(position, mark)
    if not position.is_priced_since(fresh_since):
        return Valued(position, None, None, None)
    return _at(position, position.last_price)


def _at(position: Position, price: Decimal) -> Valued:
    value = EXACT.multiply(position.quantity, position.instrument.worth(price))
    return Valued(position, price, value, EXACT.subtract(value, position.cost))


def exchange_rate(account: Account, marks: Mapping[str, Mark], now: datetime) -> Rate:
    """Return the rates into the account's currency, from marks such as `EURUSD`; a stale or missing one is
    None.
    """

    def rate(currency: str) -> Decimal | None:
        if currency == account.currency:
            return Decimal(1)
        mark = marks.get(f"{currency}{account.currency}")
        value = to_decimal(mark.quote.mark) if mark is not None and is_usable(mark, account, now) else None
        return value if value and value > 0 else None

    return rate


def spot_price(account: Account, marks: Mapping[str, Mark], now: datetime) -> SpotOf:
    """Return the prices of underlyings; a stale or missing one is None."""

    def spot(symbol: str) -> Decimal | None:
        mark = marks.get(symbol)
        value = to_decimal(mark.quote.mark) if mark is not None and is_usable(mark, account, now) else None
        return value if value and value > 0 else None

    return spot


class Evaluator:
    """Writes `risk/{account}`: at once when a level changes, otherwise at most once per the account's
    interval.
    """

    def __init__(
        self,
        states: Aggregates[RiskState],
        exits: ExitWatcher,
        lifted: Lifted,
        ended: Ended,
        read_book: Callable[[str], Book | None],
        was_valued: Callable[[str], bool],
    ) -> None:
        self._states = states
        self._read_book = read_book
        self._was_valued = was_valued
        self._exits = exits
        self._lifted = lifted
        self._ended = ended

    def has_valued(self, account: str, revision: int) -> bool:
        """Tell whether an evaluation of a book's revision, or of a later one, stands."""
        known = self._states.peek(account)
        if known is None or known.book_revision < revision:
            known = self._states.read(account)
        return known is not None and known.book_revision >= revision

    def evaluate(
        self,
        account: Account,
        book: Book,
        positions: Sequence[Valued],
        marks: Mapping[str, Mark],
        now: datetime,
        cause: str,
        force: bool = False,
        greeks: AccountGreeks | None = None,
        factors: Factors | None = None,
        passed: int = 0,
    ) -> RiskState | None:
        """Work out the account's numbers and commit what is new; return the state that stands.

        `cause` names the batch, sweep or fill in the alerts' ids: the same cause gives the same alerts once. What newer
        settings have decided is left as it is, but for versions up to `passed`: the account was read after those.
        """
        rate = exchange_rate(account, marks, now)
        index, spot = index_reading(account, marks), spot_price(account, marks, now)
        held = (v.position.instrument.symbol for v in positions)
        prices_at = max((marks[symbol].as_of for symbol in held if symbol in marks), default=None)

        market = market_of((v.position.instrument for v in positions), marks, account, now, factors)

        def watch_exits(old: RiskState, cause: str) -> ExitNews:
            return self._exits.watch(
                account, book, positions, marks, rate, greeks, old.exits, now, cause, force
            )

        def lifted(old: RiskState) -> Mapping[str, str] | None:
            if force:
                return self._lifted(account.account, old.breakers)
            if not awaits_second(old.breakers):
                return None
            try:
                return self._lifted(account.account, old.breakers)
            except Transient:  # as where nobody has looked: a second reading closes
                return None

        def ended(old: RiskState) -> Collection[str] | None:
            return self._ended(account.account, old.stops) if force else None

        def decide(before: RiskState | None, attempt: int) -> Change[RiskState] | None:
            if before is not None and before.settings > max(account.version, passed):
                return None
            if before is not None and book.revision < before.book_revision:
                stands = self._read_book(
                    account.account
                )  # a book that was put back as it was is behind nobody
                if stands is None or stands.revision != book.revision:
                    return None
            change = _decide(
                account,
                book,
                positions,
                rate,
                market,
                prices_at,
                now,
                cause,
                before,
                force,
                greeks,
                index,
                spot,
                watch_exits,
                lifted,
                ended,
                partial(times_of, account, positions, marks, now),
            )
            if before is None and change is not None and self._was_valued(account.account):
                lost = lost_effects(account.account, cause, now)
                return replace(change, effects=[*change.effects, *lost])
            return change

        known = self._states.peek(account.account)
        first = decide(known, 0)
        if known is not None and first is None:
            self._states.take_over(account.account)  # a stop waits for no sweep
            return known
        return self._states.change(
            account.account, lambda before, attempt: first if before is known else decide(before, attempt)
        )


def _decide(
    account: Account,
    book: Book,
    positions: Sequence[Valued],
    rate: Rate,
    market: Market,
    prices_at: datetime | None,
    now: datetime,
    cause: str,
    before: RiskState | None,
    force: bool,
    greeks: AccountGreeks | None,
    index: Index | None,
    spot: SpotOf,
    watch_exits: Callable[[RiskState, str], ExitNews],
    lifted: Callable[[RiskState], Mapping[str, str] | None],
    ended: Callable[[RiskState], Collection[str] | None],
    times: Callable[[Iterable[str]], PriceTimes],
) -> Change[RiskState] | None:
    old = before or RiskState(account.account, now, -1)
    if _is_behind(book, prices_at, old):
        return None
    cause = f"{cause}.{old.revision + 1}"  # the same cause may lead to the same level more than once
    numbers = figures(account, book, positions, rate, old.day_start, old.last_total, now, old.track, market)
    numbers = replace(numbers, greeks=greeks)
    read = readings(numbers, {key: w.level for key, w in old.watched.items()})
    watched = watch(read, old.watched, now)
    trends = followed_limits(read, old.trends, now)
    alerts = limit_alerts(account.account, read, old.watched, watched, cause, now, trends)
    alerts += gone_alerts(account, read, old.watched, cause, now)
    needed = {v.position.instrument.symbol for v in positions} | numbers.rates.keys()
    unseen = [*numbers.unpriced, *numbers.unrated]
    blind = blind_spots(unseen, needed, old.blind, account.price_max_age_s, now)
    about_data = data_alert(account.account, sorted(blind), sorted(old.blind), cause, now)
    if about_data:
        alerts.append(about_data)
    levels, reached = followed_levels(account.account, account.levels, spot, old.levels, cause, now)
    alerts += reached
    facts = money_facts(numbers, book)
    sessions = (old.session, numbers.session)
    name, sure = account.account, sure_facts(numbers)
    stops, asked = stops_after(read, old.watched, old.stops, ended(old), sessions, name, cause, now)
    before_it = in_session(old.breakers, *sessions)
    seen = partial(times, numbers.rates)
    tripped, moves = advance(
        MONEY_BREAKERS, account.trading, before_it, facts, now, name, cause, lifted(old), seen, sure
    )
    reductions = watch_reductions(
        account, read, tripped, moves, old.reducing, numbers.equity, cause, now, seen
    )
    exits = watch_exits(old, cause)
    alerts += exits.alerts
    due = (now - old.as_of).total_seconds() >= account.risk_interval_s or book.revision != old.book_revision
    due = due or exits.is_due(now - old.as_of) or reductions.standing != old.reducing
    if before is not None and not (alerts or moves or asked or due or force):
        return None
    checkup = exits.checkup()
    alerts += checkup.alerts
    followed = follow_trades(account, book, positions, old.trades, index, rate, spot, now)
    lifecycle = follow_lifecycle(account, book, spot, old.lifecycle, cause, now)
    alerts += lifecycle.alerts
    snapshot = bool(alerts) or old.snapshot_at is None or now - old.snapshot_at >= SNAPSHOT_EVERY
    state = replace(
        old,
        as_of=now,
        book_revision=book.revision,
        revision=old.revision + 1,
        prices_at=prices_at,
        day_start=numbers.day_start or old.day_start,
        last_total=(now, numbers.total) if numbers.total is not None else old.last_total,
        track=numbers.track,
        watched=watched,
        stops=stops,
        trends=trends,
        breakers=tripped,
        unpriced=tuple(numbers.unpriced),
        blind=blind,
        snapshot_at=now if snapshot else old.snapshot_at,
        shown=show(numbers, read)
        | {"assignment": lifecycle.shown, "exits": checkup.shown}
        | market_facts(book, rate, spot),
        trades=followed.trades,
        lifecycle=lifecycle.standing,
        levels=levels,
        exits=checkup.exits,
        reducing=reductions.standing,
        settings=account.version,
    )
    alerts = [a.model_copy(update={"settings": account.version}) for a in alerts]
    effects = [*map(alert_effect, alerts), *limit_effects(account.account, asked, cause), *exits.effects]
    effects += breaker_effects(account.account, reductions.moves, cause, now)
    effects += reductions.effects
    if snapshot:
        effects.append(history_effect(account.account, [snapshot_row(numbers, state)]))
    if followed.rows:
        effects.append(history_effect(account.account, followed.rows))
    return Change(state, effects)


def _is_behind(book: Book, prices_at: datetime | None, old: RiskState) -> bool:
    """Tell whether somebody with newer prices of the same book was here. Clocks are not asked."""
    if book.revision != old.book_revision:
        return False
    return prices_at is not None and old.prices_at is not None and prices_at < old.prices_at
