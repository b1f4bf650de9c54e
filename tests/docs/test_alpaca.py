"""The adapter of docs/alpaca.md: executed as it stands there, against a server with the routes that Alpaca documents."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlsplit

import pytest

from stopline.client import Client
from stopline.model.account import Account
from stopline.model.control import ControlRequest
from stopline.model.instrument import Instrument
from stopline.model.lease import LeaseRequest
from stopline.model.order import Order
from stopline.model.times import utc_text
from stopline.model.wire import validate
from stopline.runtime.embedded import Embedded

from .test_client import EASY, NOON, PAGE, SPY

ALPACA = PAGE.parent / "alpaca.md"
OPEN = {"new", "partially_filled"}


@dataclass
class Exchange:
    """An account at Alpaca: orders rest until the test fills them. As documented: a client order id is taken once (422),
    what is over cannot be cancelled (422), 204 for a cancel.
    """

    now: Any
    orders: list[dict[str, Any]] = field(default_factory=list)
    fills: list[dict[str, Any]] = field(default_factory=list)
    keys: set[str | None] = field(default_factory=set)
    blocked: bool = False

    def answer(self, method: str, path: str, query: Mapping[str, str], body: Any) -> tuple[int, Any]:
        match method, path.removeprefix("/v2/").split("/"):
            case "GET", ["account"]:
                return 200, {"status": "ACTIVE", "trading_blocked": self.blocked}
            case "GET", ["positions"]:
                return 200, self.positions()
            case "GET", ["orders"]:
                return 200, [o for o in self.orders if o["status"] in OPEN][: int(query["limit"])]
            case "GET", ["orders:by_client_order_id"]:
                found = [o for o in self.orders if o["client_order_id"] == query["client_order_id"]]
                return (200, found[0]) if found else (404, {"message": "order not found"})
            case "POST", ["orders"]:
                return self.place(body)
            case "DELETE", ["orders", id_]:
                [order] = [o for o in self.orders if o["id"] == id_]
                if order["status"] not in OPEN:
                    return 422, {"message": f"order is already in {order['status']!r} state"}
                order["status"] = "canceled"
                return 204, None
            case "GET", ["account", "activities", "FILL"]:
                ids = [f["id"] for f in self.fills]
                first = ids.index(query["page_token"]) + 1 if "page_token" in query else 0
                return 200, self.fills[first : first + int(query["page_size"])]
        return 404, {"message": "no such route"}

    def place(self, order: dict[str, Any]) -> tuple[int, Any]:
        number = len(self.orders) + 1
        name = order.get("client_order_id", f"eb9e2aaa-f71a-4f51-b5b4-{number:012d}")
        if any(o["client_order_id"] == name for o in self.orders):
            return 422, {"message": "client_order_id must be unique"}
        if Decimal(order["qty"]) <= 0:
            return 422, {"message": "qty must be > 0"}
        made = {
            "id": f"61e69015-8549-4bfd-b9c3-{number:012d}",
            "client_order_id": name,
            "legs": None,
            "filled_qty": "0",
        }
        made |= {"asset_class": "us_equity", "status": "new", "limit_price": None, **order}
        self.orders.append(made)
        return 200, made

    def fill(self, number: int, price: str = "100") -> None:
        """Execute all of an order, counted from 0; the last is -1."""
        order = self.orders[number]
        order |= {"status": "filled", "filled_qty": order["qty"]}
        facts = {
            "activity_type": "FILL",
            "type": "fill",
            "price": price,
            "leaves_qty": "0",
            "cum_qty": order["qty"],
        }
        facts |= {
            "symbol": order["symbol"],
            "side": order["side"],
            "qty": order["qty"],
            "order_id": order["id"],
        }
        id_ = f"20261118120000000::execution-{len(self.fills)}"
        self.fills.append({**facts, "id": id_, "transaction_time": utc_text(self.now())})

    def positions(self) -> list[dict[str, Any]]:
        held: dict[str, Decimal] = {}
        for one in self.fills:
            signed = Decimal(one["qty"]) * (1 if one["side"] == "buy" else -1)
            held[one["symbol"]] = held.get(one["symbol"], Decimal(0)) + signed
        return [
            {
                "symbol": symbol,
                "asset_class": "us_equity",
                "qty": str(units),
                "side": "long" if units > 0 else "short",
                "avg_entry_price": "100",
            }
            for symbol, units in held.items()
            if units
        ]


@dataclass
class Place:
    desk: Embedded
    exchange: Exchange
    broker: Any
    adapter: Any

    def round(self) -> None:
        """What the page has every 20 seconds do, and Stopline's own round with a price."""
        self.desk.clock.set(self.desk.clock.now() + timedelta(seconds=20))
        batch = {"type": "stopline.prices.v1", "source": "f", "symbols": ["SPY"], "last": [100]}
        self.desk.publish("prices", {**batch, "as_of": utc_text(self.desk.clock.now())})
        self.adapter.every_20_seconds()
        self.broker.tidy()
        self.broker.tell()
        self.desk.sweep()
        self.desk.run()

    def take_orders(self) -> list[str]:
        """Hand the adapter what is on the topic `orders` and it has not seen."""
        said = [self.adapter.on_orders_message(m.data) for m in self.orders]
        self.orders.clear()
        return said

    orders: list[Any] = field(default_factory=list)

    def held(self) -> dict[str, Decimal]:
        book = self.desk.app.books.read("demo")
        return {p.instrument.symbol: p.quantity for p in book.open_positions()} if book else {}


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[str, list[Exchange]]]:
    """Serve the exchange that the list holds."""
    at: list[Exchange] = []

    class Handler(BaseHTTPRequestHandler):
        def reply(self) -> None:
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            size = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(size)) if size else None
            at[0].keys.add(f"{self.headers['APCA-API-KEY-ID']} {self.headers['APCA-API-SECRET-KEY']}")
            status, answer = at[0].answer(self.command, parts.path, query, body)
            data = b"" if answer is None else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_DELETE = reply  # noqa: N815 - the names that http.server calls

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", at
    server.shutdown()
    server.server_close()
    thread.join()


def names_of(page: Path) -> dict[str, Any]:
    [code] = re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    return names


@pytest.fixture
def place(served: tuple[str, list[Exchange]]) -> Place:
    url, at = served
    desk = Embedded(NOON)
    facts = {
        "account": "demo",
        "owner": "ann",
        "currency": "USD",
        "capital": "100000",
        "brokers": ["alpaca"],
        **EASY,
    }
    desk.app.account_writer.create(validate(Account, facts), "test")
    desk.sweep()
    desk.run()
    at[:] = [Exchange(desk.clock.now)]

    def post(path: str, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        if path.endswith("/check"):
            return 200, desk.app.order_desk.check("demo", validate(Order, dict(body)))
        granted = desk.app.leases.grant(desk.app.accounts.require("demo"), validate(LeaseRequest, dict(body)))
        return 200, granted.model_dump(mode="json")

    broker = names_of(ALPACA)["Alpaca"]("demo", "KEY", "SECRET", desk.clock, desk.bus, url=url)
    adapter = names_of(PAGE)["Adapter"](Client("demo", "alpaca-1", post, desk.clock, desk.bus), broker)
    here = Place(desk, at[0], broker, adapter)
    desk.bus.subscribe("orders", lambda message, id_, attempt: here.orders.append(message))
    here.round()
    return here


def buy(place: Place, units: int = 10) -> str | None:
    said: str | None = place.adapter.trade(SPY, "BUY", Decimal(units), "default", stop="99")
    return said


def kill(place: Place) -> None:
    facts = {"request_id": "k", "scope": "account:demo", "action": "kill", "actor": "ann", "reason": "x"}
    place.desk.app.halts.advance(place.desk.app.trading.set(ControlRequest.model_validate(facts)))
    place.desk.run()


def test_an_order_is_sent_executed_booked_and_agreed_on(place: Place) -> None:
    """R1.1, R1.8: what is booked is what Alpaca says; its statement agrees, and counts what works."""
    assert buy(place) is None
    [order] = place.exchange.orders
    assert {k: order[k] for k in ("symbol", "qty", "side", "type", "time_in_force")} == {
        "symbol": "SPY",
        "qty": "10",
        "side": "buy",
        "type": "market",
        "time_in_force": "day",
    }
    assert place.exchange.keys == {"KEY SECRET"}
    place.exchange.fill(0)
    for _ in range(3):
        place.round()
    assert place.held() == {"SPY": 10}
    found = place.desk.app.reconciliations.read("demo")
    assert found is not None
    assert (found.breaks, found.reported["alpaca"].complete_at) == ({}, place.desk.clock.now())
    assert len(place.desk.store.query("fills")) == 1, "told again and again, booked once"


def test_a_kill_cancels_closes_and_is_flat_when_fills_prove_it(place: Place) -> None:
    """R0.4: through the routes: the entry that works is cancelled, the position sold, once."""
    assert buy(place) is None
    place.exchange.fill(0)
    place.round()
    assert buy(place, 5) is None
    kill(place)
    messages = list(place.orders)
    assert place.take_orders() == ["cancelled", "closing 10"]
    close = place.exchange.orders[-1]
    assert [o["status"] for o in place.exchange.orders] == ["filled", "canceled", "new"]
    assert (close["side"], close["qty"], len(close["client_order_id"])) == ("sell", "10", 32)
    [again] = [m for m in messages if b'"close"' in m.data]
    restarted = type(place.adapter)(
        Client("demo", "alpaca-1", place.adapter.client.post, place.desk.clock), place.broker
    )
    place.exchange.orders[-1]["status"] = "held"  # hidden from the open ones for a moment: the id alone tells
    assert restarted.on_orders_message(again.data) == "closing 10"
    place.exchange.orders[-1]["status"] = "new"
    assert len(place.exchange.orders) == 3, "Alpaca takes a client order id once"
    place.exchange.fill(-1)
    place.round()
    assert place.held() == {}
    halt = place.desk.app.closer.halt_of("demo")
    assert halt is not None
    assert halt.status.value == "FLAT"


def test_a_close_whose_time_is_over_is_cancelled_and_sent_anew(place: Place) -> None:
    """docs/closing.md: also where a restart has forgotten when it was to end."""
    assert buy(place) is None
    place.exchange.fill(0)
    place.round()
    kill(place)
    assert place.take_orders()[-1] == "closing 10"
    place.round()
    assert place.exchange.orders[-1]["status"] == "new", "30 seconds are not over"
    place.broker.until.clear()  # as a restart does
    place.broker.tidy()
    assert place.exchange.orders[-1]["status"] == "canceled"
    for _ in range(6):
        place.round()
        place.take_orders()
    live = [o for o in place.exchange.orders if o["status"] == "new"]
    assert [(o["side"], o["qty"]) for o in live] == [("sell", "10")]


def test_what_alpaca_refuses_is_refused_and_what_is_over_is_over(place: Place) -> None:
    """R0.4: a refusal of an order is no success; a cancel that comes too late is none to worry about."""
    assert buy(place) is None
    place.exchange.fill(0)
    place.broker.cancel(place.exchange.orders[0]["id"])
    with pytest.raises(HTTPError):
        place.broker.send("default", SPY, "BUY", Decimal(0), id_="f" * 32)
    assert place.broker.is_connected()
    place.exchange.blocked = True
    assert not place.broker.is_connected()
    place.broker.url = "http://127.0.0.1:9"
    assert not place.broker.is_connected()


def test_positions_and_orders_are_read_as_alpaca_writes_them(place: Place) -> None:
    """R1.1: a short one, an option, an order of an amount of money, and one of several legs."""
    option = "SPY261218P00600000"
    place.exchange.orders = [
        {
            "id": "o-1",
            "symbol": "SPY",
            "side": "sell",
            "qty": "5",
            "filled_qty": "2",
            "status": "new",
            "legs": None,
        },
        {
            "id": "o-2",
            "symbol": "SPY",
            "side": "buy",
            "qty": None,
            "filled_qty": "0",
            "status": "new",
            "legs": None,
        },
        {
            "id": "o-3",
            "symbol": "",
            "side": "",
            "qty": "1",
            "filled_qty": "0",
            "status": "new",
            "legs": [{"symbol": option, "side": "sell", "qty": "1", "filled_qty": "0"}],
        },
    ]
    read = [(o.id, o.instrument.symbol, o.units) for o in place.broker.working_orders()]
    assert read == [("o-1", "SPY", -3), ("o-2", "SPY", Decimal("Infinity")), ("o-3", option, -1)]
    place.exchange.fills = [
        {"symbol": option, "side": "sell", "qty": "2"},
        {"symbol": "SPY", "side": "buy", "qty": "7"},
    ]
    found = [(p.instrument.symbol, p.instrument.multiplier, p.units) for p in place.broker.positions()]
    assert found == [(option, 100, -2), ("SPY", 1, 7)]
    assert place.broker.position("default", option) == -2
    assert isinstance(place.broker.positions()[0].instrument, Instrument)


def test_executions_are_told_page_by_page(place: Place) -> None:
    """F04: none is left out, however many there are."""
    for number in range(130):
        place.exchange.place(
            {"symbol": "SPY", "side": "buy", "qty": "1", "type": "market", "time_in_force": "day"}
        )
        place.exchange.fill(number)
    place.broker.tell()
    place.desk.run()
    assert place.held() == {"SPY": 130}
