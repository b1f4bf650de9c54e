"""What the demo shows: a live view that stands still in a terminal, plain lines where there is none."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from emulators.demo.backend import Told
from stopline.rules.alerting.text_parts import amount

PHONE = 40  # columns
WIDEST = 92
_MARGIN = 7
_OPTION = re.compile(r"([A-Z]+)[0-9]{6}([CP])([0-9]{8})")
QUIET_EVERY = 30  # minutes of the day between two lines where nothing can stand still
_LEVELS = {"ok": "green", "warn": "yellow", "breach": "bold red", "unknown": "magenta"}
_STATES = {"ACTIVE": "green", "REDUCING": "yellow", "HALTED": "bold red"}
_NAMES = {"sms": "SMS", "email": "E-mail", "discord": "Discord"}


@dataclass(frozen=True, slots=True)
class View:
    """The day at one minute. `pnl` None: nothing was traded yet. `used` of `limit`: the loss, in percent."""

    at: datetime
    spx: float
    spx_before: float
    vix: float
    pnl: Decimal | None = None
    used: Decimal | None = None
    limit: Decimal | None = None
    level: str = "ok"
    state: str = "ACTIVE"
    positions: int = 0


class Screen:
    """Prints the story; the live view stays below it. Use in a `with`."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False, soft_wrap=False)
        self._width = min(self._console.width, WIDEST)
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._at: datetime | None = None
        self.interactive = self._console.is_terminal

    def __enter__(self) -> Self:
        if self.interactive:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    # --- the day ---

    def clock(self, moment: datetime) -> None:
        """Tell the time of the events that follow."""
        self._at = moment

    def show(self, view: View, number: int) -> None:
        """Show a minute of the day, `number` minutes after the opening."""
        if self.interactive:
            self._live.update(Panel(_view(view), width=self._width, border_style="dim"), refresh=True)
        elif number % QUIET_EVERY == 0:
            self._print(_line(view))

    def hide(self) -> None:
        """Take the live view away."""
        self._live.update(Text(""), refresh=self.interactive)

    # --- the story ---

    def title(self, text: str) -> None:
        """Begin the demo or a part of it."""
        self._print("")
        self._print(Text(text, style="bold"))

    def say(self, text: str, style: str = "") -> None:
        """Say something that belongs to no moment of the day."""
        self._print(Text(text, style=style))

    def line(self, text: str, style: str = "") -> None:
        """Say something that stays on one line, however narrow the terminal is."""
        self._console.print(Text(text, style=style), soft_wrap=True)

    def event(self, text: str, style: str = "") -> None:
        """Say what happened now."""
        assert self._at is not None
        self._row(f"{self._at:%H:%M}", Text(text, style=style))

    def note(self, at: str, text: str) -> None:
        """Say what happened at another time."""
        self._row(at, Text(text))

    def more(self, text: str, style: str = "dim") -> None:
        """Say more about what happened."""
        self._row("", Text(text, style=style))

    def message(self, told: Told) -> None:
        """Show a message as its reader saw it."""
        name = _NAMES.get(told.channel, told.channel)
        width = PHONE if told.channel == "sms" else self._width
        title = f"{name} to {told.to}"
        text = "\n".join(part for part in (told.title, told.text.rstrip()) if part)
        self._print(Panel(Text(text), title=escape(title), title_align="left", width=min(width, self._width)))

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Show a small table; numbers to the right."""
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", width=None)
        numeric = [all(isinstance(row[at], (int, Decimal)) for row in rows) for at in range(len(columns))]
        for name, right in zip(columns, numeric, strict=True):
            table.add_column(name, justify="right" if right else "left", overflow="fold")
        for row in rows:
            table.add_row(*(escape(_cell(value)) for value in row))
        self._print(table)

    def _row(self, left: str, right: Text) -> None:
        """Print a line of the story; what does not fit goes on below its beginning."""
        lines = right.wrap(self._console, self._width - _MARGIN)
        self._print(Text.assemble((f"{left:<{_MARGIN}}", "cyan"), Text("\n" + " " * _MARGIN).join(lines)))

    def _print(self, what: RenderableType) -> None:
        self._console.print(what, width=self._width)


def short(symbol: str) -> str:
    """Write an option's symbol as people say it where the day is known: `SPXW 2690P`."""
    match = _OPTION.fullmatch(symbol)
    return f"{match[1]} {int(match[3]) / 1000:g}{match[2]}" if match else symbol


def money(value: Decimal | None) -> str:
    """Write an amount of the account's currency."""
    return amount(value, "USD")


def _view(view: View) -> RenderableType:
    first = Text.assemble(
        (f"{view.at:%H:%M}", "bold cyan"),
        " New York  ",
        f"SPX {view.spx:,.2f} ({_change(view)})  VIX {view.vix:.2f}",
    )
    second = Text.assemble(
        "P&L of the day ",
        (money(view.pnl) if view.pnl is not None else "-", "red" if (view.pnl or 0) < 0 else "green"),
        f"   {view.positions} open   trading ",
        (view.state, _STATES.get(view.state, "")),
    )
    return Group(first, second, _gauge(view))


def _gauge(view: View) -> Text:
    """Show how much of the daily loss limit is used: a bar that is full at the limit."""
    used, limit = view.used or Decimal(0), view.limit or Decimal(1)
    full = min(int(used / limit * 24), 24)
    text = f"{used:.2f}% of {limit:f}%" if view.limit is not None else "nothing traded yet"
    return Text.assemble(
        "Daily loss ", ("█" * full, _LEVELS.get(view.level, "")), ("░" * (24 - full), "dim"), f" {text}"
    )


def _line(view: View) -> Text:
    """Return the view as one line."""
    parts = [f"SPX {view.spx:,.2f} {_change(view)}", f"VIX {view.vix:.2f}"]
    if view.pnl is not None:
        parts.append(f"P&L {money(view.pnl)}")
    if view.used is not None and view.limit is not None:
        parts.append(f"loss {view.used:.2f}/{view.limit:f}%")
    if view.state != "ACTIVE":
        parts.append(view.state)
    return Text(f"{view.at:%H:%M}  " + "  ".join(parts), style="dim", overflow="fold")


def _change(view: View) -> str:
    return f"{(view.spx / view.spx_before - 1) * 100:+.2f}%"


def _cell(value: Any) -> str:
    if isinstance(value, Decimal):
        return f"{value:,.2f}"
    return str(value)
