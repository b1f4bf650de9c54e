"""The story: a trader sells premium on the day the VIX doubled, and Stopline gets the account out.

It knows nothing of what it runs on: it publishes what a broker, a feed and the scheduler would publish, reads
what people and dashboards would read, and waits for each step to be done before the day goes on.
"""

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson

from emulators.demo.backend import ACCOUNT, TRADER, Backend, DemoFailed
from emulators.demo.evening import Evening
from emulators.demo.evidence import Conservation, Evidence
from emulators.demo.market import MINUTES, SPY, Market, Minute, spxw
from emulators.demo.screen import Screen, View, money, short
from emulators.paper_broker import PaperBroker
from emulators.paper_orders import Order, Status
from stopline.ledger.book import Book
from stopline.model.account import Account
from stopline.model.control import TradingState, account_scope
from stopline.model.fill import Fill, Side
from stopline.model.ids import document_id
from stopline.model.instrument import Instrument, Kind
from stopline.model.messages import ExecutionReport, Sweep, SweepKind
from stopline.model.wire import canonical
from stopline.ports import Outgoing, Path
from stopline.service.evaluation.risk_state import RiskState

CAPITAL = Decimal(100_000)
CONDOR = [("P", 2695, 1), ("P", 2715, -1), ("C", 2800, 1), ("C", 2780, -1)]
SPREAD = [("P", 2670, 2), ("P", 2690, -2)]
MORE = [("P", 2630, 4), ("P", 2650, -4)]
SHARES = 25
STORM = 18  # of the shares, sold one by one by a program while the kill switch is pulled
AFTER = 4  # orders that the program sends after the word
LATE = timedelta(seconds=1)  # so much after their execution the broker tells the second half of them
CONDOR_AT, SHARES_AT, SPREAD_AT = 150, 165, 240  # minutes after the opening
REACTION = 6  # minutes from the breach to the hand on the kill switch
RELIEF = 8  # and to the acknowledgement of what else is in the messages
SWEEP_EVERY = 3  # minutes: a desk whose sweep is silent for longer says so
WHOLE = range(MINUTES + 1)
# A short day begins just before the first trade and has each minute from the warning to the end of the trader's part, else
# only those with a sweep; then comes the close.
SHORT = [*range(147, 270, SWEEP_EVERY), *range(270, 303), *range(384, MINUTES + 1, SWEEP_EVERY)]
LOSS = "max_daily_loss"
STORM_ID = "O-STORM-"


class Story:
    """One run of the day. `speed`: seconds of the day in a second; 0: as fast as this machine can. `minutes`: those that are
    played, as numbers since the opening.
    """

    def __init__(
        self, backend: Backend, screen: Screen, speed: float, minutes: Sequence[int] = WHOLE
    ) -> None:
        self._backend = backend
        self._app = backend.app
        self._screen = screen
        self._pace = 60 / speed if speed else 0.0
        self._minutes = minutes
        legs = [*CONDOR, *SPREAD, *MORE]
        self._market = Market([spxw(right, strike) for right, strike, _ in legs])
        self._broker = PaperBroker(lambda *order: self._app.trading.for_order(*order).state)
        self._evidence = Evidence(backend, lambda: self._broker.published + self._malformed)
        self._risk: RiskState | None = None  # as last seen
        self._state = TradingState.ACTIVE.value
        self._now = datetime.min.replace(tzinfo=UTC)
        self._malformed = 0
        self._snapshots: set[datetime] = set()
        self._breached_at: int | None = None
        self._warned = False
        self._held_to_close = Decimal(0)

    def run(self) -> Conservation:
        """Tell the whole story; raise DemoFailed where a step does not happen."""
        self._begin()
        for number in self._minutes:
            started = time.monotonic()
            self._pass(number)
            self._act(number)
            self._screen.show(self._view(number), number)
            time.sleep(max(0.0, self._pace - (time.monotonic() - started)))
        self._screen.hide()
        self._sweep(SweepKind.END_OF_DAY, document_id(SweepKind.END_OF_DAY.value))
        self._settle()
        evening = Evening(self._backend, self._screen, self._market, self._evidence)
        return evening.tell(self._held_to_close, len(self._snapshots))

    # --- the day ---

    def _begin(self) -> None:
        first = self._market.minute(0)
        self._move(self._market.minute(self._minutes[0]))
        account = Account(
            account=ACCOUNT,
            owner="trader",
            currency="USD",
            capital=CAPITAL,
            profile="zero_dte",
            recipients=TRADER,
        )
        self._app.account_writer.create(account, "demo")
        self._backend.connect(self._broker, self._publish)
        self._screen.title("Monday, 5 February 2018")
        self._screen.say(
            f"The S&P 500 opens at {first.spx:,.2f}, the VIX at {first.vix:.2f}. Open, high, low and close "
            "of the day are facts; the minutes between are RECONSTRUCTED by a seeded random bridge, options "
            "are priced by Black-Scholes at the VIX, SPY is a tenth of the index, the trades are made up."
        )
        self._screen.say(
            f"Account {ACCOUNT}: {money(CAPITAL)}, profile zero_dte: the loss of the day may reach 3%."
        )

    def _pass(self, number: int) -> None:
        """Let a minute pass: prices come in, and every few minutes the scheduler's sweep.

        While something is held each minute is waited for, so that a slow machine makes the day slow and not
        wrong; with an empty book prices may run ahead of their marks, up to the next sweep.
        """
        minute = self._market.minute(number)
        self._move(minute)
        self._broker.price(minute.quotes, self._now)
        self._broker.flush(self._now, self._publish)
        self._send("prices", minute.message())
        sweeps = number % SWEEP_EVERY == 0
        if self._holds or sweeps or number == CONDOR_AT:
            self._backend.wait(self._is_priced, "the valuation of a minute's prices")
        if sweeps:
            self._sweep(SweepKind.RISK, "sweep")
        if self._risk is not None and self._risk.snapshot_at is not None:
            self._snapshots.add(self._risk.snapshot_at)

    def _act(self, number: int) -> None:
        """Do what the trader does in this minute, and show what Stopline did."""
        match number:
            case n if n == CONDOR_AT:
                self._trade("condor", "T-1", CONDOR)
                self._screen.event("The trader sells an iron condor that expires today, 2695/2715/2780/2800.")
            case n if n == SHARES_AT:
                self._buy_shares()
            case n if n == SPREAD_AT:
                self._trade("put-spread", "T-2", SPREAD)
                self._screen.event("The trader sells the dip: 2 put credit spreads 2690/2670, for today.")
        level = self._level()
        if level == "warn" and not self._warned:
            self._warn()
        elif level == "breach" and self._breached_at is None:
            self._breached_at = number
            self._breach()
        elif self._breached_at is not None and number == self._breached_at + REACTION:
            self._kill()
        elif self._breached_at is not None and number == self._breached_at + RELIEF:
            self._acknowledge()

    def _buy_shares(self) -> None:
        """Buy shares; the broker reports the fill twice, and then something that is no fill."""
        self._broker.misbehaviour.twice = 1
        self._order("O-SPY", "core", SPY, SHARES, None)
        fill = self._broker.report("O-SPY")
        assert fill is not None
        broken = {**fill.fills[0].model_dump(mode="json"), "fill_id": "O-SPY-2", "quantity": "twenty-five"}
        self._send("fills", broken)
        self._malformed += 1
        self._settle()
        counted = self._evidence.count()
        self._screen.event(f"The trader buys {SHARES} shares of SPY, and the broker stutters:")
        self._screen.more(f"its fill comes twice -> booked once, {counted.duplicates} duplicate caught")
        reason = self._app.store.query("quarantine")[0].data["detail"]
        self._screen.more(f"another one is malformed -> {counted.quarantined} in quarantine: {reason}")
        (mail,) = self._evidence.heard("refused", {"email"})
        self._screen.message(mail)

    def _warn(self) -> None:
        self._warned = True
        mail, discord = self._evidence.heard("Loss of the day.* of its limit", {"email", "discord"})
        self._screen.event("80% of the daily loss limit: a warning goes to e-mail and Discord.", "yellow")
        self._screen.message(mail)
        self._screen.message(discord)

    def _breach(self) -> None:
        *_, sms = self._evidence.heard(r"(?s)Loss of the day.*breached", {"email", "discord", "sms"})
        (state,) = self._evidence.heard("reduce-only for account", {"discord"})
        self._state = self._app.trading.for_account(ACCOUNT)[0].value
        self._screen.event(
            "The limit is breached: the account is reduce-only, and the phone rings.", "bold red"
        )
        self._screen.message(sms)
        self._screen.more(f"Discord: {state.text.splitlines()[0]}")
        right, strike, quantity = MORE[1]
        refused = self._order("O-MORE", "put-spread", spxw(right, strike), quantity, "T-3")
        if refused is not Status.REFUSED:
            raise DemoFailed(f"the broker took an order that adds risk: {refused.value}")
        report = self._broker.report("O-MORE")
        self._screen.event("The trader wants to double down. The broker asks for the trading state first:")
        self._screen.more(f"SELL 4 puts 2650 refused: {report.reason if report else ''}")

    def _kill(self) -> None:
        """Pull the kill switch over HTTP, and wait until the fills have made the account flat."""
        book = self._evidence.book()
        self._held_to_close = self._at_close(book)
        commands = len(book.open_positions())
        reason = "VIX spike, get me out"
        body = {"request_id": "demo-1", "scope": account_scope(ACCOUNT), "reason": reason}
        self._screen.event("The trader pulls the kill switch, in the middle of a storm of fills:", "bold red")
        for number in range(STORM):  # the broker has executed them all, and has told of half of them
            self._broker.order(
                Order(f"{STORM_ID}{number}", ACCOUNT, SPY, Side.SELL, Decimal(1), "core"), self._now
            )
            if number == STORM // 2:
                told = self._broker.flush(self._now, self._publish)
                self._broker.misbehaviour.late = LATE
        self._broker.misbehaviour.late = timedelta(0)
        answer = self._backend.call("POST", "kill_switch", "/kill", body)
        self._state = str(answer["state"])
        self._screen.more(
            f"POST /kill -> {answer['state']}, epoch {answer['epoch']}; {commands} positions to close"
        )
        self._refuse_the_program()
        self._broker.flush(self._now + LATE, self._publish)
        self._screen.more(
            f"{STORM} fills of a program that sells shares one by one, {STORM - told} told after the kill"
        )
        self._backend.wait(self._is_flat, "the account's going flat")
        self._settle()
        (sms,) = self._evidence.heard("Trading halted", {"sms"})
        self._screen.message(sms)
        (flat,) = self._evidence.heard("is flat", {"discord"})
        self._screen.event("Flat, and it is the fills that say so, not the commands:", "bold green")
        closing = [
            fill
            for fill in self._evidence.fills()
            if fill.executed_at == self._now and not (fill.order_id or "").startswith(STORM_ID)
        ]
        closing.sort(key=lambda fill: (fill.strategy, fill.instrument.symbol))
        columns = ("strategy", "symbol", "closed by", "quantity", "price")
        rows = [
            (f.strategy, short(f.instrument.symbol), f.side.value, int(f.quantity), f.price) for f in closing
        ]
        self._screen.table(columns, rows)
        self._screen.more(f"Discord: {flat.text.splitlines()[0]}")

    def _refuse_the_program(self) -> None:
        """Let the program go on as if nothing had been said: what reduces is for Stopline alone now."""
        for number in range(STORM, STORM + AFTER):
            id_ = f"{STORM_ID}{number}"
            report = self._broker.order(Order(id_, ACCOUNT, SPY, Side.SELL, Decimal(1), "core"), self._now)
            if report.status is not Status.REFUSED:
                raise DemoFailed(f"the broker took an order after the kill: {report.status.value}")
        self._screen.more(f"The program's next {AFTER} orders are refused: {report.reason}")

    def _acknowledge(self) -> None:
        """Take what the kill did not: it brought a new alert, and would be escalated."""
        stands = self._backend.call("GET", "api", f"/v1/accounts/{ACCOUNT}/alerts")["alerts"]
        for alert in (a for a in stands if a["state"] == "firing"):
            body = {"reference": alert["alert_id"]}
            taken = self._backend.call("POST", "api", f"/v1/accounts/{ACCOUNT}/alerts/ack", body)
            if taken["acknowledged"]:
                self._screen.event(f"The trader acknowledges: {alert['summary']}. Nobody else is called.")

    # --- what the world sends ---

    def _move(self, minute: Minute) -> None:
        self._now = minute.at.astimezone(UTC)
        self._screen.clock(minute.at)
        self._backend.set_time(self._now)

    def _send(self, topic: str, body: dict[str, Any]) -> None:
        self._app.ports.bus.publish([Outgoing(topic, canonical(body))])

    def _publish(self, fill: Fill | ExecutionReport) -> None:
        attributes = {"broker": fill.broker, "account": fill.account}
        body = canonical(fill.model_dump(mode="json"))
        self._app.ports.bus.publish([Outgoing("fills", body, attributes, key=fill.account)])

    def _sweep(self, kind: SweepKind, name: str) -> None:
        self._send("sweeps", Sweep(kind=kind).model_dump(mode="json"))

        def is_done() -> bool:
            document = self._app.store.get(Path("heartbeats", name))
            return document is not None and document.data["at"] >= self._now

        self._backend.wait(is_done, f"the sweep {kind.value}")

    def _trade(self, strategy: str, group: str, legs: list[tuple[str, int, int]]) -> None:
        """Trade a spread leg by leg, what protects first: Pub/Sub may turn two fills round."""
        for right, strike, quantity in legs:
            option = spxw(right, strike)
            status = self._order(f"O-{option.symbol}", strategy, option, quantity, group)
            if status is not Status.FILLED:
                raise DemoFailed(f"the order for {option.symbol} was {status.value}")
            self._settle()

    def _order(
        self, id_: str, strategy: str, instrument: Instrument, quantity: int, group: str | None
    ) -> Status:
        side = Side.BUY if quantity > 0 else Side.SELL
        order = Order(id_, ACCOUNT, instrument, side, Decimal(abs(quantity)), strategy, group_id=group)
        report = self._broker.order(order, self._now)
        self._broker.flush(self._now, self._publish)
        return report.status

    # --- what can be seen ---

    def _settle(self) -> None:
        """Wait until every published fill is somewhere and the account is valued with them."""
        self._backend.wait(lambda: self._evidence.count().in_flight == 0, "the booking of all fills")
        self._backend.wait(self._is_valued, "the valuation after the fills")

    @property
    def _holds(self) -> bool:
        return self._risk is not None and bool(self._risk.shown.get("positions"))

    def _is_valued(self) -> bool:
        self._risk = self._app.risk_states.read(ACCOUNT)
        return self._risk is not None and self._risk.book_revision >= self._evidence.book().revision

    def _is_priced(self) -> bool:
        """Tell whether the minute's prices were worked in: into the risk where something is held."""
        if self._holds:
            self._risk = self._app.risk_states.read(ACCOUNT)
            return self._risk is not None and self._risk.as_of >= self._now
        source = self._app.store.get(Path("marks", document_id("demo-feed")))
        return source is not None and _newest(source.data) >= self._now

    def _is_flat(self) -> bool:
        status = self._backend.call("GET", "kill_switch", f"/status?scope={account_scope(ACCOUNT)}")
        return bool(status["flat"])

    def _level(self) -> str:
        return str(self._limit().get("level", "ok"))

    def _limit(self) -> dict[str, Any]:
        limits = self._risk.shown.get("limits", []) if self._risk else []
        return next((limit for limit in limits if limit["limit"] == LOSS), {})

    def _view(self, number: int) -> View:
        minute, limit = self._market.minute(number), self._limit()
        shown = self._risk.shown if self._risk else {}
        return View(
            at=minute.at,
            spx=minute.spx,
            spx_before=self._market.yesterday,
            vix=minute.vix,
            pnl=_decimal(shown.get("pnl_day")),
            used=_decimal(limit.get("current")),
            limit=_decimal(limit.get("threshold")),
            level=str(limit.get("level", "ok")),
            state=self._state,
            positions=len(shown.get("positions", {})),
        )

    def _at_close(self, book: Book) -> Decimal:
        """Return what a book would have made by the close, options at what they pay at expiry."""
        last = self._market.last()
        total = book.total("USD").net
        for position in book.open_positions():
            contract = position.instrument
            price = Decimal(str(last.quotes[contract.symbol].last))
            if contract.kind is Kind.OPTION and contract.strike is not None:
                spot = Decimal(str(last.spx))
                price = max(
                    spot - contract.strike if contract.right == "C" else contract.strike - spot, Decimal(0)
                )
            total += position.quantity * contract.multiplier * price - position.cost
        return total


def _newest(data: dict[str, Any]) -> datetime:
    marks = orjson.loads(data["state"])["marks"]
    return datetime.fromtimestamp(max(mark[0] for mark in marks.values()), UTC)


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
