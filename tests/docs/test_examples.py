"""The documentation is run: every example, table, path and link in README.md, CHANGELOG.md and docs/."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import fields
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple, get_args
from xml.etree import ElementTree

import flask
import pytest

from emulators.topology import load
from stopline.adapters.schemas import TABLES, record
from stopline.brokers import parse, read_statement
from stopline.cli.main import COMMANDS
from stopline.model.account import Account
from stopline.model.control import ControlRequest
from stopline.model.decimals import decimal_text
from stopline.model.lease import Lease, LeaseRequest
from stopline.model.messages import Alert, Command, ExecutionReport, Halt, History, Sweep
from stopline.model.order import Order
from stopline.model.prices import parse_price_batch
from stopline.model.settings.activity import ActivitySettings, Detector
from stopline.model.settings.sizing import Method
from stopline.model.statement import Statement
from stopline.model.wire import decode_object, validate
from stopline.ports import Outgoing
from stopline.rules.limits.registry import LIMITS, Action, check_overrides
from stopline.rules.orders.risk import order_risk
from stopline.rules.trading.breakers import BREAKERS
from stopline.rules.trading.reset import until
from stopline.runtime.embedded import Embedded
from stopline.runtime.kill_api import handle
from stopline.runtime.settings import Settings, read_settings
from stopline.service.accounts.settings import FIXED, SettingsPatch, merge

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
DOCS = ROOT / "docs"
MESSAGES, KILL_SWITCH, DEPLOY = DOCS / "messages.md", DOCS / "kill-switch.md", DOCS / "deploy.md"
TOLD = {MESSAGES, KILL_SWITCH, DEPLOY}  # pages whose every JSON block is a message, a setting or an answer
TOKEN = "change-me"


class Block(NamedTuple):
    """A fenced block of a page, and the line it starts in."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(page: Path) -> list[Block]:
    text = page.read_text("utf-8")
    fence = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
    return [Block(page, text.count("\n", 0, m.start()) + 1, m[2], m[3]) for m in fence.finditer(text)]


BLOCKS = [block for page in PAGES for block in blocks(page)]
JSON = [block for block in BLOCKS if block.language == "json"]
CURLS = [block for block in BLOCKS if "$KILL_SWITCH" in block.text]


def column(page: Path, head: str) -> Iterator[list[str]]:
    """Yield the rows of the tables whose first head is `head`."""
    inside = False
    for line in page.read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if not cells:
            inside = False
        elif cells[0] == head:
            inside = True
        elif inside and set(cells[0]) != {"-"}:
            yield cells


def names(cell: str) -> list[str]:
    """Return what stands in backticks."""
    return re.findall(r"`([^`]+)`", cell)


# --- messages ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", JSON, ids=str)
def test_a_json_example_is_taken_by_the_code(block: Block) -> None:
    """The examples are complete messages: what a reader copies works."""
    value = decode_object(block.text.encode())
    match value.get("type"):
        case "stopline.fill.v1" | "stopline.fills.v1":
            items = parse(value, {"account": "demo", "broker": "paper"})
            assert items
            assert [item.refused for item in items] == [None] * len(items)
            assert not any(item.fill.model_extra for item in items if item.fill)
        case "stopline.prices.v1":
            batch = parse_price_batch(value)
            assert set(batch.quotes) == set(value["symbols"])
            assert batch.refused == ()
        case "stopline.sweep.v1":
            validate(Sweep, value)
        case "stopline.alert.v1":
            assert set(value) == set(validate(Alert, value).model_dump()), "the example shows every field"
        case "stopline.command.v1":
            assert set(value) == set(validate(Command, value).model_dump()), "the example shows every field"
        case "stopline.report.v1":
            assert set(value) == set(validate(ExecutionReport, value).model_dump()), (
                "the example shows every field"
            )
        case "stopline.statement.v1":
            shown = validate(Statement, value)
            assert set(value) == set(shown.model_dump()), "the example shows every field"
            assert read_statement(value, {"account": "demo", "broker": "paper"}) == shown
        case "stopline.history.v1":
            check_rows(validate(History, value))
        case "stopline.lease.v1":
            assert set(value) == set(validate(Lease, value).model_dump()), "the example shows every field"
        case "stopline.halt.v1":
            assert set(value) == set(validate(Halt, value).model_dump()), "the example shows every field"
        case None if block.page in TOLD:
            assert is_setting(value) or "scope" in value, "neither a message nor a setting nor an answer"
        case None:
            pass  # files and answers of commands, which the tests of the commands read
        case unknown:
            pytest.fail(f"{block}: type {unknown} is not known")


def check_rows(message: History) -> None:
    for row in message.rows:
        assert isinstance(record(row, datetime.now(UTC)), dict), "BigQuery would refuse it"
        assert set(row.row) == {*TABLES[row.table], "detail"}


def is_setting(value: dict[str, Any]) -> bool:
    if {"sms", "email", "discord"} & value.keys():
        return bool(read_settings(sample("STOPLINE_OPERATOR", json.dumps(value))).operator.email)
    if "time_zone" in value:
        return bool(
            read_settings(sample("STOPLINE_OPERATOR_ALERTS", json.dumps(value))).operator_alerts.people
        )
    if any(re.fullmatch("[0-9a-f]{64}", key) for key in value):
        assert set(value) == {hashlib.sha256(TOKEN.encode()).hexdigest()}
        return len(read_settings(sample("STOPLINE_PRINCIPALS", json.dumps(value))).principals) == len(value)
    return False


def test_every_message_type_has_an_example() -> None:
    types = {decode_object(block.text.encode()).get("type") for block in JSON if block.page == MESSAGES}
    kinds = ("fill", "fills", "prices", "sweep", "alert", "command", "history")
    assert types - {None} == {f"stopline.{kind}.v1" for kind in kinds}


# --- the kill switch ----------------------------------------------------------------------------------------


class Request(NamedTuple):
    """A curl line: path, headers, and the body where there is one."""

    path: str
    headers: dict[str, str]
    body: str | None

    @property
    def action(self) -> str:
        return self.path.strip("/").partition("?")[0]


def request_of(block: Block, id_: str = "k-1") -> Request:
    """Read a curl line, with an id in the place of the one that the shell makes."""
    path = re.search(r'"\$KILL_SWITCH(/[^"]*)"', block.text)
    assert path is not None, f"{block} calls nothing"
    told = block.text.replace("$STOPLINE_TOKEN", TOKEN)
    headers = dict(header.split(": ", 1) for header in re.findall(r'-H "([^"]*)"', told))
    body = re.search(r"-d '([^']*)'", block.text.replace("'\"$ID\"'", id_))
    return Request(path[1], headers, body[1] if body else None)


@pytest.mark.parametrize("block", CURLS, ids=str)
def test_a_curl_body_is_a_request(block: Block) -> None:
    request = request_of(block)
    if request.body is not None:
        value = {**decode_object(request.body.encode()), "action": request.action, "actor": "ann"}
        validate(ControlRequest, value)


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize("block", [block for block in CURLS if "request_id" in block.text], ids=str)
def test_a_curl_pasted_twice_is_two_wishes(block: Block) -> None:
    """R5.1: a kill of the same id as yesterday's would stop nothing."""
    script = "\n".join(['curl() { echo; echo "${@: -1}"; }', block.text, block.text])
    said = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout
    first, second = [json.loads(text) for text in said.strip().split("\n\n")]
    assert first.pop("request_id") != second.pop("request_id")
    assert first == second


def test_the_kill_switch_answers_what_its_page_says() -> None:
    """Every curl of the page, in its order, against the real handler: kill, closing fills, status, resume."""
    desk, commands = open_desk()
    answers = {
        answer: request_of(block, json.loads(answer.text)["request_id"])
        for block in CURLS
        if block.page == KILL_SWITCH
        for answer in [other for other in JSON if other.page == KILL_SWITCH and other.line > block.line][:1]
    }
    assert [request.action for request in answers.values()] == ["kill", "status", "resume"]
    for block, request in answers.items():
        expected = json.loads(block.text)
        if request.action == "status":
            desk.clock.set(moment(expected["closing"]["flat_at"]))
            desk.publish("fills", example("stopline.fills.v1"))
            desk.run()
        else:
            desk.clock.set(moment(expected["since"]))
        if request.action == "resume":
            desk.sweep()
            desk.run()
        if request.action == "kill":
            desk.app.leases.grant(desk.app.accounts.require("demo"), LeaseRequest(adapter="paper"))
        assert call(desk, request) == (200, expected), str(block)
        if request.action == "kill":
            desk.run()
    close = validate(Command, json.loads(commands[-1].data))
    assert validate(Command, example("stopline.command.v1")) == close


def open_desk() -> tuple[Embedded, list[Outgoing]]:
    """A desk that holds the fill of the messages' page, and what it publishes on `orders`."""
    fill = example("stopline.fill.v1")
    desk = Embedded(moment(fill["executed_at"]))
    facts = {"account": fill["account"], "owner": "ann", "currency": "USD", "capital": "100000"}
    desk.app.account_writer.create(validate(Account, facts), "test")
    desk.sweep()
    desk.run()
    commands: list[Outgoing] = []
    desk.bus.subscribe("orders", lambda message, id_, attempt: commands.append(message))
    desk.publish("fills", fill)
    desk.run()
    return desk, commands


def call(desk: Embedded, request: Request) -> tuple[int, Any]:
    """Send a request to the kill switch, with the principals of the page on deploying."""
    [principals] = [b.text for b in JSON if b.page == DEPLOY and hashed(TOKEN) in b.text]
    settings = read_settings(sample("STOPLINE_PRINCIPALS", principals))
    method = "GET" if request.body is None else "POST"
    context = flask.Flask("kill_switch_page").test_request_context(
        request.path, method=method, data=request.body, headers=request.headers
    )
    with context:
        body, status, _ = handle(flask.request, lambda: desk.app, settings.principals)
    return status, json.loads(body)


def example(kind: str) -> dict[str, Any]:
    """Return the first example of a type in the messages' page."""
    values = [decode_object(block.text.encode()) for block in JSON if block.page == MESSAGES]
    return next(value for value in values if value.get("type") == kind)


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def hashed(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


# --- settings and commands ----------------------------------------------------------------------------------

SAMPLES = {
    "SMTP_PORT": "2525",
    "SMTP_STARTTLS": "0",
    "TWILIO_VOICE": "1",
    "STOPLINE_ACK_SECRET": "x" * 32,
    "STOPLINE_DEV_KEY": "x" * 32,
    "STOPLINE_API_URL": "https://stopline.example.com",
    "STOPLINE_HEARTBEAT_URL": "https://watch.example.com/ping/1",
    "STOPLINE_LOG_LEVEL": "DEBUG",
    "STOPLINE_OPERATOR": '{"email": ["desk@example.com"]}',
    "STOPLINE_OPERATOR_ALERTS": '{"time_zone": "Asia/Kolkata"}',
    "STOPLINE_RESUME_PEOPLE": "1",
    "STOPLINE_PRINCIPALS": json.dumps({hashed(TOKEN): {"name": "ann", "rights": ["view"]}}),
}


def sample(name: str, value: str | None = None) -> Mapping[str, str]:
    """An environment with one variable set, on this machine."""
    return {
        "GOOGLE_CLOUD_PROJECT": "p",
        "FIRESTORE_EMULATOR_HOST": "127.0.0.1:1",
        name: value or SAMPLES.get(name, "another"),
    }


def test_the_table_of_variables_is_what_settings_read() -> None:
    """Each variable changes one field of Settings, each field has its variable, and the defaults are right."""
    usual = read_settings({"GOOGLE_CLOUD_PROJECT": "p"})
    found: dict[str, str] = {}
    for variables, default, _ in column(DEPLOY, "variable"):
        for variable in names(variables):
            chosen = read_settings(sample(variable))
            [changed] = [
                f.name for f in fields(Settings) if getattr(chosen, f.name) != getattr(usual, f.name)
            ]
            assert changed not in found
            found[changed] = variable
            if variable != "GOOGLE_CLOUD_PROJECT":
                told = names(default)[0] if names(default) else ""
                assert told == shown(getattr(usual, changed)), variable
    assert set(found) == {f.name for f in fields(Settings)}


def shown(value: object) -> str:
    match value:
        case bool():
            return str(int(value))
        case str() | int():
            return str(value)
    return ""


def test_the_table_of_commands_is_what_the_command_line_has() -> None:
    assert [names(cells[0])[0] for cells in column(DOCS / "commands.md", "command")] == list(COMMANDS)


# --- facts that the pages repeat ----------------------------------------------------------------------------


def test_every_kind_of_alert_is_in_the_runbook() -> None:
    """Whoever adds an alert says what it means and what to do."""
    sources = [p for part in ("service", "rules") for p in (ROOT / "shared/stopline" / part).rglob("*.py")]
    kinds = {kind for path in sources for kind in re.findall(r'\bkind="([a-z_]+)"', path.read_text("utf-8"))}
    told = {name for cells in column(ROOT / "docs/runbook.md", "kind") for name in names(cells[0])}
    assert told == kinds | set(LIMITS)


def test_the_table_of_what_is_told_names_kinds_that_exist_and_tests_that_know_them() -> None:
    """R6.2, R2.12: each purpose has its kinds, and each kind is in one of the tests that the table names."""
    known = {name for cells in column(ROOT / "docs/runbook.md", "kind") for name in names(cells[0])}
    for what, kinds, proof in column(ROOT / "docs/alerts.md", "what"):
        files = re.findall(r"\]\(\.\./(tests/[a-z_/]+\.py)\)", proof)
        text = "".join((ROOT / file).read_text("utf-8") for file in files)
        assert set(names(kinds)) <= known, what
        assert [kind for kind in names(kinds) if not re.search(rf"\b{kind}\b", text)] == [], what


def test_the_table_of_breakers_is_what_the_rules_have() -> None:
    """The number, whether it closes, and who ends it."""
    told = {}
    for name, trips, closes, ends in column(ROOT / "docs/runbook.md", "breaker"):
        is_off = "off unless" in trips
        told[names(name)[0]] = (
            trips.split()[0],
            is_off,
            closes == "yes",
            "two people" in ends,
            "quarter" in ends,
        )
    thresholds = {"broker_down": "an", "api_failing": "4", "stale_data": "a", "contradictory_data": "a"}
    thresholds["unusual_activity"] = "something"
    assert told == {
        b.name: (
            thresholds.get(b.name, str(b.threshold)),
            b.optional,
            b.flatten,
            b.rule.people == 2,
            b.rule.reopen < 1,
        )
        for b in BREAKERS.values()
    }


def test_the_table_of_detectors_is_what_the_settings_have() -> None:
    """R5.4: every detector, its setting and default, and whether it pauses."""
    defaults = ActivitySettings()
    told = {names(cells[0])[0]: cells for cells in column(ROOT / "docs/runbook.md", "detector")}
    assert set(told) == set(get_args(Detector))
    for name, (_, _, setting, default, pauses) in told.items():
        values = [getattr(defaults, field) for field in names(setting)]
        assert default == ", ".join(str(value) for value in values)
        assert (pauses == "yes") == (name in defaults.pauses)


def test_the_table_of_limits_is_the_registry() -> None:
    """R2.1 to R2.5: unit, basis, defaults, scope, action and both ends of every limit, as the code has them."""
    told = [[cell.strip("`") for cell in cells] for cells in column(ROOT / "docs/limits.md", "limit")]
    assert told == [
        [
            limit.name,
            limit.unit.value,
            limit.basis + (" (reaching it)" if limit.inclusive else ""),
            *("off" if number is None else decimal_text(number) for number in limit.defaults.values()),
            limit.scope.value,
            limit.action.value,
            limit.comes_down,
            until(limit.ends),
        ]
        for limit in LIMITS.values()
    ]
    actions = [names(cells[0])[0] for cells in column(ROOT / "docs/limits.md", "action")]
    assert actions == [action.value for action in Action]


def test_the_examples_of_an_order_and_of_settings_are_taken() -> None:
    """R2.6, R2.11: what a reader copies works."""
    order, patch = [decode_object(b.text.encode()) for b in JSON if b.page.name == "pretrade.md"]
    asked = validate(Order, order)
    prices = [leg.limit_price or Decimal(0) for leg in asked.legs]
    assert order_risk(asked, prices).loss == 200
    changes = validate(SettingsPatch, patch)
    made = Account(account="demo", owner="ann", currency="USD", capital=Decimal(1000))
    changed = validate(Account, merge(made.model_dump(mode="json"), changes.settings))
    assert check_overrides(changed) == []
    assert not FIXED & changes.settings.keys()


def test_every_code_of_a_refusal_is_told() -> None:
    folder = ROOT / "shared/stopline/rules/orders"
    source = "".join(path.read_text("utf-8") for path in sorted(folder.glob("*.py")))
    codes = set(re.findall(r'Reason\(\s*"([a-z_]+)"', source))
    told = [name for cells in column(ROOT / "docs/pretrade.md", "code") for name in names(cells[0])]
    assert set(told) == codes
    methods = [names(cells[0])[0] for cells in column(ROOT / "docs/pretrade.md", "method")]
    assert set(methods) == set(get_args(Method))


def test_every_collection_is_in_the_architecture() -> None:
    told = [names(cells[0])[0] for cells in column(ROOT / "docs/architecture.md", "document")]
    assert {path.partition("/")[0] for path in told} == set(load().collections)


# --- links and paths ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_paths_lead_somewhere(page: Path) -> None:
    """Every relative link, and every file or test that a page names."""
    text = page.read_text("utf-8")
    for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        if "://" not in link:
            assert (page.parent / link).exists(), link
    for path, test in re.findall(
        r"\b((?:tests|shared|functions|emulators|infra|tools)/[\w./*]*[\w*])(?:::(\w+))?", text
    ):
        assert list(ROOT.glob(path)), path
        assert not test or f"def {test}(" in (ROOT / path).read_text("utf-8"), f"{path}::{test}"


def test_the_picture_is_well_formed_and_has_words_for_those_who_cannot_see_it() -> None:
    picture = ElementTree.parse(ROOT / "docs" / "flow.svg").getroot()
    told = {child.tag.rpartition("}")[2]: (child.text or "").strip() for child in picture}
    assert told["title"]
    assert told["desc"]
    assert "prefers-color-scheme: dark" in told["style"]
