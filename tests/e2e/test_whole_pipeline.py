"""Every function under gunicorn on the emulators: from a broker's fill to a phone, and from a kill to a flat book."""

import hashlib
import json
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import requests

from emulators.broker_link import PullLoop
from emulators.fakes import DiscordFake, SmtpFake, TwilioFake
from emulators.paper_broker import PaperBroker
from emulators.paper_orders import Order, Status
from emulators.stack import Emulators, Stack
from stopline.adapters.clock import SystemClock
from stopline.adapters.firestore import FirestoreStore
from stopline.adapters.pubsub import PubSubBus
from stopline.model.account import Account
from stopline.model.control import TradingState
from stopline.model.fill import Fill, Side
from stopline.model.instrument import Instrument, Kind
from stopline.model.messages import ExecutionReport
from stopline.model.prices import Quote
from stopline.model.scopes import Scope
from stopline.model.wire import canonical, validate
from stopline.runtime.app import App
from stopline.runtime.ports import Ports
from stopline.service.audit.chain import stored_faults

TOKEN = "test-token-of-ann"
SHARE = Instrument(symbol="AAPL", kind=Kind.EQUITY, currency="USD")
Headers = dict[str, str]


class Desk:
    """A running Stopline with its fakes, seen from outside."""

    def __init__(self, stack: Stack, sms: TwilioFake, discord: DiscordFake, smtp: SmtpFake, app: App) -> None:
        self.stack, self.sms, self.discord, self.smtp, self.app = stack, sms, discord, smtp, app

    def post(self, path: str, body: dict[str, Any], token: str = TOKEN) -> requests.Response:
        headers = {"Authorization": f"Bearer {token}"}
        return requests.post(
            self.stack.urls["kill_switch"] + path,
            json=body,
            headers=headers,
            timeout=20,  # as the function has
        )

    def get(self, path: str) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        answer: dict[str, Any] = requests.get(
            self.stack.urls["kill_switch"] + path, headers=headers, timeout=30
        ).json()
        return answer

    def status(self, account: str) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        url = f"{self.stack.urls['api']}/v1/accounts/{account}"
        answer: dict[str, Any] = requests.get(url, headers=headers, timeout=30).json()
        return answer

    def price(self, last: float) -> None:
        body = {"type": "stopline.prices.v1", "as_of": now(), "symbols": ["AAPL"], "last": [last]}
        self.stack.publish("prices", canonical(body))

    def fill(self, account: str, id_: str, side: Side, quantity: str, price: str) -> Fill:
        fill = validate(
            Fill,
            {
                "fill_id": id_, "broker": "paper", "account": account, "instrument": SHARE.model_dump(mode="json"),
                "side": side.value, "quantity": quantity, "price": price, "executed_at": now(),
            },
        )  # fmt: skip
        self.send(fill)
        return fill

    def send(self, fill: Fill | ExecutionReport) -> None:
        self.stack.publish("fills", canonical(fill.model_dump(mode="json")))


def now() -> str:
    return datetime.now(UTC).isoformat()


def eventually(check: Callable[[], Any], seconds: float = 40) -> Any:
    """Return what `check` returns as soon as it is truthy."""
    deadline = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
    return found


@pytest.fixture(scope="module")
def desk(emulators: Emulators) -> Iterator[Desk]:
    principal = {"name": "ann", "rights": ["view", "kill", "resume"], "accounts": ["*"]}
    with (
        TwilioFake() as sms,
        DiscordFake() as discord,
        SmtpFake() as smtp,
        Stack(emulators=emulators) as stack,
    ):
        settings = {
            "STOPLINE_PRINCIPALS": json.dumps({hashlib.sha256(TOKEN.encode()).hexdigest(): principal}),
            "STOPLINE_OPERATOR": '{"email":["operator@example.com"]}',
            "STOPLINE_TWILIO_URL": sms.url,
            "TWILIO_ACCOUNT_SID": sms.account,
            "TWILIO_AUTH_TOKEN": sms.token,
            "TWILIO_FROM": "+14155550199",
            "SMTP_HOST": smtp.host,
            "SMTP_PORT": str(smtp.port),
            "SMTP_FROM": "stopline@example.com",
            "SMTP_STARTTLS": "0",
            "STOPLINE_DISCORD_URL": discord.url,
        }
        stack.up(settings=settings, bigquery=emulators.bigquery_url is not None)
        with pytest.MonkeyPatch.context() as patch:
            for name, value in stack.env.items():
                patch.setenv(name, value)
            app = App(Ports(FirestoreStore(stack.project), PubSubBus(stack.project), SystemClock()))
            yield Desk(stack, sms, discord, smtp, app)


def open_account(desk: Desk, name: str) -> None:
    facts = {
        "account": name,
        "owner": "ann",
        "currency": "USD",
        "capital": "100000",
        "calendar": "24/7",
        "recipients": {
            "sms": ["+14155550100"],
            "email": ["ann@example.com"],
            "discord": ["https://discord.com/api/webhooks/1000000000000000001/test-webhook-token"],
        },
    }
    desk.app.account_writer.create(validate(Account, facts), "test")


def test_a_breach_by_a_fill_is_on_the_phone_in_the_mail_and_on_discord(desk: Desk) -> None:
    """R0.3, R1.6, R2.1, R6.1: fill -> position -> limit -> alert by SMS, e-mail and Discord."""
    open_account(desk, "loud")
    started = time.monotonic()
    desk.fill("loud", "L1", Side.BUY, "500", "90")  # 45,000 of 100,000: limit 10 %
    eventually(lambda: [m for m in desk.sms.accepted if "AAPL" in str(m)])
    to_sms = time.monotonic() - started
    eventually(lambda: [m for m in desk.smtp.accepted if "AAPL" in str(m.message["Subject"])])
    eventually(lambda: [m for m in desk.discord.accepted if "AAPL" in str(m)])
    print(
        f"fill published -> SMS taken by the provider: {to_sms:.2f} s; all three: {time.monotonic() - started:.2f} s"
    )
    assert "45%" in str(desk.sms.accepted)


def test_a_kill_is_persisted_before_it_is_answered_and_the_book_is_flat_by_fills(desk: Desk) -> None:
    """R5.1, R4.5, R0.4, F37, F38: kill over HTTP, cancel and close commands, flat only when the fills prove it."""
    open_account(desk, "killed")
    broker = PaperBroker(lambda *order: desk.app.trading.for_order(*order).state)
    clock = SystemClock()
    broker.price({"AAPL": Quote(90.0)}, clock.now())
    for number, side in enumerate([Side.BUY, Side.BUY, Side.SELL]):
        report = broker.order(Order(f"K{number}", "killed", SHARE, side, Decimal(40)), clock.now())
        assert report.status is Status.FILLED
    broker.flush(clock.now(), desk.send)
    eventually(lambda: desk.status("killed").get("fills") == 3)

    started = time.monotonic()
    body = {"request_id": "kill-e2e", "scope": "account:killed", "reason": "test of the switch"}
    answer = desk.post("/kill", body)
    print(f"POST /kill answered after {(time.monotonic() - started) * 1000:.0f} ms: {answer.json()}")
    assert answer.status_code == 200
    assert answer.json()["delivery"] == "published"
    state, epoch, _ = desk.app.trading.for_account("killed")
    assert (state, epoch) == (TradingState.HALTED, 1)
    assert desk.status("killed")["closing"] == "CLOSING", "flat is not said before the fills prove it"
    assert desk.post("/kill", body).json()["epoch"] == 1, "the same request again changes nothing"

    loop = PullLoop(broker, desk.stack.emulators.pubsub_host, desk.stack.project, clock, desk.send)
    try:
        eventually(lambda: desk.status("killed")["closing"] == "FLAT")
    finally:
        loop.close()
    print(f"kill -> flat by fills: {time.monotonic() - started:.2f} s")
    assert desk.status("killed")["positions"] == []
    assert broker.position("killed", "default", "AAPL") == Decimal(0)
    assert eventually(lambda: [m for m in desk.sms.accepted if "halted" in str(m).lower()])


def test_a_hundred_kills_at_once_are_one_halt(desk: Desk) -> None:
    """F38: ten wishes, each sent ten times, all together: one epoch, ten links of the chain, one set of commands."""
    open_account(desk, "crowd")
    desk.fill("crowd", "W1", Side.BUY, "5", "90")
    eventually(lambda: desk.status("crowd").get("fills") == 1)

    def kill(number: int) -> tuple[int, dict[str, Any]]:
        body = {"request_id": f"crowd-{number % 10}", "scope": "account:crowd", "reason": "all at once"}
        answer = desk.post("/kill", body)
        return answer.status_code, answer.json()

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(kill, range(100)))
    assert {status for status, _ in answers} == {200}
    assert {(facts["state"], facts["epoch"]) for _, facts in answers} == {("HALTED", 1)}
    rows = [json.loads(d.data["row"]) for d in desk.app.store.query("audit")]
    events = sorted(row["event"] for row in rows if row["chain"] == "account:crowd")
    assert events == ["kill"] + ["kill_repeated"] * 9
    assert stored_faults(desk.app.store)[1] == []
    sent = desk.app.closer.read("crowd").sent.values()
    out = [
        one for one in sent if one.ended_at is None
    ]  # a kill said again takes our close along: 5 s later it goes again
    assert [one.round for one in out] == [1]


def states(process: int) -> list[str]:
    """Return the states of the threads of a process, as the kernel names them."""
    threads = Path(f"/proc/{process}/task").glob("*/stat")
    return [thread.read_text().rpartition(")")[2].split()[0] for thread in threads]


@pytest.mark.parametrize("is_known", [True, False], ids=["an account read before", "an account never read"])
def test_with_a_frozen_firestore_a_kill_reaches_the_adapters_and_is_stored_later(
    desk: Desk, is_known: bool
) -> None:
    """F40, F41: nothing is refused, nothing answers; the second path does, before the function's own time is over."""
    name = f"frozen-{is_known}".lower()
    open_account(desk, name)
    if is_known:
        assert desk.get(f"/status?scope=account:{name}")["state"] == "ACTIVE"
    broker, clock = PaperBroker(lambda *order: desk.app.trading.for_order(*order).state), SystemClock()
    loop = PullLoop(broker, desk.stack.emulators.pubsub_host, desk.stack.project, clock, desk.send)
    firestore = desk.stack.emulators.processes["firestore"]
    firestore.signal(signal.SIGSTOP)
    eventually(
        lambda: set(states(firestore.group)) == {"T"}
    )  # on a busy machine its threads go on for a moment
    try:
        started = time.monotonic()
        answer = desk.post(
            "/kill", {"request_id": name, "scope": f"account:{name}", "reason": "nothing answers"}
        )
        answered = time.monotonic() - started
        assert (answer.status_code, answer.json()["delivery"]) == (202, "published, not persisted")
        eventually(lambda: Scope("account", name) in broker.halts)
        print(
            f"Firestore frozen: POST /kill -> 202 {answered:.2f} s, the broker halts {time.monotonic() - started:.2f} s"
        )
    finally:
        firestore.signal(signal.SIGCONT)
        loop.close()
    control = eventually(
        lambda: desk.app.trading.read(f"account:{name}").seen and desk.app.trading.read(f"account:{name}")
    )
    assert (control.state, control.request_id, control.epoch) == (TradingState.HALTED, name, 1)


def test_a_broker_that_rejects_is_told_again_until_the_book_is_flat(desk: Desk) -> None:
    """F43, R8.4: the report of a rejection comes back, the retry follows seconds later, and the fills end it."""
    open_account(desk, "refused")
    broker = PaperBroker(lambda *order: desk.app.trading.for_order(*order).state)
    clock = SystemClock()
    broker.price({"AAPL": Quote(90.0)}, clock.now())
    broker.order(Order("J1", "refused", SHARE, Side.BUY, Decimal(7)), clock.now())
    broker.flush(clock.now(), desk.send)
    eventually(lambda: desk.status("refused").get("fills") == 1)
    broker.misbehaviour.reject = 50  # commands of other tests may still be on the topic
    assert desk.post("/kill", {"request_id": "kill-j", "scope": "account:refused", "reason": "test"}).ok
    loop = PullLoop(broker, desk.stack.emulators.pubsub_host, desk.stack.project, clock, desk.send)
    try:
        eventually(lambda: [s for s in desk.app.closer.read("refused").sent.values() if s.is_final])
        broker.misbehaviour.reject = 0
        for _ in range(30):  # a price batch looks every 5 s for retries that are due
            desk.price(90.0)
            if desk.status("refused")["closing"] == "FLAT":
                break
            time.sleep(0.5)
    finally:
        loop.close()
    assert desk.status("refused")["closing"] == "FLAT"
    sent = sorted(desk.app.closer.read("refused").sent.values(), key=lambda one: one.round)
    assert (sent[0].status, sent[-1].status) == ("rejected", "filled")


def test_nobody_without_the_right_token_moves_the_switch(desk: Desk) -> None:
    """R5.1, B62, B64: no token, a wrong one, and an account that does not exist."""
    body = {"request_id": "no", "scope": "account:nobody", "reason": "x"}
    assert desk.post("/kill", body, token="wrong").status_code == 401
    assert desk.post("/kill", body).status_code == 404


def test_history_keeps_one_row_of_each_event(desk: Desk, needs_bigquery: None) -> None:
    """R0.3, R7.4: what was booked is in BigQuery, once in the view, whatever was delivered twice."""
    from stopline.adapters.bigquery import BigQueryHistory

    open_account(desk, "kept")
    fill = desk.fill("kept", "H1", Side.BUY, "3", "90.125")
    desk.send(fill)
    history = BigQueryHistory("stopline", desk.stack.project)
    sql = "SELECT fill_id, quantity, price FROM `{dataset}.fills_latest` WHERE account = 'kept'"
    rows = eventually(lambda: history.query(sql))
    assert rows == [{"fill_id": "H1", "quantity": Decimal(3), "price": Decimal("90.125")}]


def test_no_secret_is_in_any_line_that_any_function_logged(desk: Desk) -> None:
    """R8.3, B75: tokens of callers and providers, webhooks, and what a refused message says of itself."""
    open_account(desk, "quiet")
    desk.post(
        "/kill", {"request_id": "no", "scope": "account:nobody", "reason": "x"}, token="a-wrong-token-1"
    )
    desk.fill("quiet", "Q1", Side.BUY, "500", "90")
    told = "Bearer a-token-in-a-message-2"
    desk.stack.publish("fills", canonical({"type": "stopline.fill.v1", "fill_id": told, "api_key": told}))
    eventually(lambda: desk.app.store.query("quarantine"))
    eventually(lambda: [m for m in desk.discord.accepted if "AAPL" in str(m)])
    lines = [
        (file.name, line)
        for file in sorted(desk.stack.logs.glob("*.log"))
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines()
    ]
    assert {name.partition(".")[0] for name, _ in lines} >= {"fills", "alerts", "history"}
    secrets = (TOKEN, "a-wrong-token-1", told[7:], desk.sms.token, "test-webhook-token")
    assert [found for found in lines if any(secret in found[1] for secret in secrets)] == []
