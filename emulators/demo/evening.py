"""The evening: what the day made, three questions to the history, and where every fill is."""

from collections import Counter
from decimal import Decimal

from emulators.demo import questions
from emulators.demo.backend import ACCOUNT, Backend, DemoFailed
from emulators.demo.evidence import Conservation, Evidence
from emulators.demo.market import ZONE, Market
from emulators.demo.screen import Screen, money, short


class Evening:
    """What is told after the close."""

    def __init__(self, backend: Backend, screen: Screen, market: Market, evidence: Evidence) -> None:
        self._backend = backend
        self._screen = screen
        self._market = market
        self._evidence = evidence

    def tell(self, held_to_close: Decimal, snapshots: int) -> Conservation:
        """Tell how it ended; raise DemoFailed where something is left, or does not agree. `held_to_close`: what the account
        would have made by then; `snapshots`: how many valuations the history must have.
        """
        last = self._market.last()
        self._screen.title("After the close")
        self._screen.say(
            f"S&P 500 {last.spx:,.2f} ({(last.spx / self._market.yesterday - 1) * 100:+.2f}%), VIX {last.vix:.2f}: "
            "open, high, low and close as published."
        )
        net = self._evidence.book().total("USD").net
        self._screen.say(
            f"The account made {money(net)}. Held to expiry it would have been {money(held_to_close)}."
        )
        self._ask(net, snapshots)
        status = self._backend.call("GET", "api", f"/v1/accounts/{ACCOUNT}")
        self._screen.title("The account, by the API")
        self._screen.say(
            f"{status['fills']} fills, {len(status['positions'])} open positions, trading "
            f"{status['trading_state']} at epoch {status['epoch']}, closing {status['closing']}"
        )
        if status["positions"] or any(self._evidence.net_quantities().values()):
            raise DemoFailed("the book is not flat")
        counted = self._evidence.count()
        told = Counter(told.channel for told in self._backend.told())
        self._screen.say(
            f"People were told by {told['sms']} SMS, {told['email']} e-mails and {told['discord']} Discord messages."
        )
        self._screen.title("Every fill is accounted for")
        self._screen.line(str(counted), "bold green" if counted.in_flight == 0 else "bold red")
        return counted

    def _ask(self, net: Decimal, snapshots: int) -> None:
        fills = self._evidence.count().applied
        self._backend.wait(
            lambda: self._backend.kept(ACCOUNT, fills, snapshots),
            "the arrival of all rows in the history",
        )
        self._screen.title(f"Three questions to {self._backend.history_name}")
        made = questions.pnl_by_position(ACCOUNT)
        self._screen.say(made.title)
        answer = self._backend.ask(made)
        columns = ("strategy", "symbol", "fills", "gross", "fees", "net")
        rows = [
            (r["strategy"], short(r["symbol"]), r["fills"], r["gross"], r["fees"], r["gross"] - r["fees"])
            for r in answer
        ]
        self._screen.table(columns, rows)
        total = sum((row[-1] for row in rows), Decimal(0))
        if total != net:
            raise DemoFailed(f"the history says {total}, the book {net}")
        self._screen.more(f"Sum {money(total)}: the book says the same, to the cent.")
        low = questions.low_point(ACCOUNT)
        self._screen.say(low.title)
        (row,) = self._backend.ask(low)
        self._screen.more(
            f"At {row['as_of'].astimezone(ZONE):%H:%M}: {money(row['pnl_day'])}, level {row['level']}.", ""
        )
        who = questions.decisions(ACCOUNT)
        self._screen.say(who.title)
        for r in self._backend.ask(who):
            state = f", {r['from_state']} -> {r['to_state']}" if r["to_state"] else ""
            reason = f" ({r['reason']})" if r["reason"] else ""
            at = f"{r['decided_at'].astimezone(ZONE):%H:%M}"
            self._screen.note(at, f"{r['event']} by {r['actor']}{state}{reason}")
