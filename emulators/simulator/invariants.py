"""What must hold: after every commit, and when the world has come to rest (I1-I12 of the guarantees)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson

from emulators.simulator.demand import demand
from stopline.ledger.encoding import decode_book
from stopline.model.ids import document_id
from stopline.model.scopes import scope_of
from stopline.model.wire import canonical
from stopline.ports import Create, Delete, Document, Outgoing, Path, Update, Write
from stopline.service.documents.outbox import JOURNAL_TOPIC
from stopline.service.history.factors import LOADED

if TYPE_CHECKING:
    from emulators.simulator.scenario import Scenario

MILLION = 10**6


def on_commit(scenario: Scenario, writes: Sequence[Write]) -> None:
    """Check what one commit did: books move with their fills, epochs only grow, every effect is committed under one body."""
    facts = scenario.facts
    for write in writes:
        if isinstance(write, Delete):
            continue
        collection, data = write.path.collection, write.data
        if collection == "fills" and isinstance(write, Update):
            demand(
                data.keys() == {"strategy", "symbol"}, "I1 what is booked stays as it is", (write.path, data)
            )
        elif collection == "fills":
            facts.logged[data["account"]].add(write.path.id)
        elif collection == "controls" and "epoch" in data:
            last = facts.answers.get(f"epoch {write.path}", 0)
            demand(data["epoch"] >= last, "I6 an epoch only grows", (last, data["epoch"]))
            facts.answers[f"epoch {write.path}"] = data["epoch"]
        elif collection == "closings" and scenario.focus == "kill":
            _flat(scenario, data)
        outbox = data.get("outbox") or "[]"
        for id_, topic, _, body in orjson.loads(outbox) if outbox != "[]" else ():
            told = canonical(body)
            if topic == JOURNAL_TOPIC:
                facts.journaled.add(id_)
            known = facts.effects.setdefault(id_, told)
            demand(known == told, "I5 one id, one effect", (id_, known, body))
    for write in writes:
        if isinstance(write, Create | Update) and write.path.collection == "books" and "fills" in write.data:
            created = any(isinstance(w, Create) and w.path.collection == "fills" for w in writes)
            logged, booked = len(facts.logged[write.data["account"]]), write.data["fills"]
            demand(logged == booked, "I2 book counts its fills", (logged, booked))
            demand(created, "I2 a book moves with its fills", str(write.path))


def _flat(scenario: Scenario, closing: Mapping[str, Any]) -> None:
    """Check that flat is said only when the book that it was said of, that is the fills, holds nothing."""
    halt = orjson.loads(closing["state"])["halt"] if "state" in closing else None
    if halt is None or halt["status"] != "FLAT":
        return
    document = scenario.world.store.get(Path("books", document_id("a")))
    book = decode_book(document.data["state"], whole=True) if document else None
    if book and book.revision == halt["book_revision"]:
        open_ = [key for key, position in book.positions.items() if position.quantity]
        demand(not open_, "I6 flat is said when the fills prove it", open_)


def on_publish(scenario: Scenario, message_id: str, message: Outgoing) -> None:
    """Check what goes out: only effects that were committed before, each under its own id."""
    id_ = message.attributes.get("effect_id")
    if id_ is None:
        return
    demand(id_ in scenario.facts.effects, "I4 no effect without its commit", (id_, message.topic))
    demand(
        message.data == scenario.facts.effects[id_],
        "I5 one id, one effect",
        (message.data, scenario.facts.effects[id_]),
    )
    scenario.facts.announced.setdefault(id_, set()).add(message.data)


def at_rest(scenario: Scenario) -> None:
    """Check the end state, after faults have stopped and everything was delivered and swept."""
    demand(not scenario.world.gave_up, "I10 nothing is left behind", scenario.world.gave_up[:1])
    _fills(scenario)
    _effects(scenario)
    _alerts(scenario)
    _given_up(scenario)
    _closings(scenario)


def _fills(scenario: Scenario) -> None:
    store, facts = scenario.world.store, scenario.facts
    fills = {document_id(f["broker"], f["account"], f["fill_id"]): f for f in facts.published}
    logged = {d.path.id for d in store.query("fills")}
    quarantined = [d for d in store.query("quarantine") if d.data["source"] == "fills"]
    demand(
        logged == set(fills),
        "I3 accepted = booked",
        (sorted(logged ^ set(fills)), [d.data["detail"] for d in quarantined]),
    )
    demand(
        len({d.data["raw"] for d in quarantined}) == facts.malformed,
        "I3 malformed = quarantined",
        [d.data["detail"] for d in quarantined],
    )
    duplicates = store.query("duplicates")
    if scenario.letters is not None:
        _accepted(scenario, [*store.query("fills"), *duplicates, *quarantined])
    else:
        demand(
            len(facts.published) == len(logged) + len(duplicates),
            "I3 published = applied + duplicates",
            (len(facts.published), len(logged), len(duplicates)),
        )
        demand(len(quarantined) == facts.malformed, "I3 malformed are kept once", len(quarantined))
    expected = naive_fold(list(fills.values()))
    found = {}
    for document in store.query("books"):
        book = decode_book(document.data["state"])
        demand(
            book.fills == sum(1 for f in fills.values() if f["account"] == book.account),
            "I2 fills",
            book.fills,
        )
        for position in book.positions.values():
            numbers = (Fraction(position.quantity), Fraction(position.realised), Fraction(position.fees))
            found[book.account, position.instrument.symbol] = numbers
        total = book.total("USD")
        realised = sum((v[1] for k, v in expected.items() if k[0] == book.account), Fraction(0))
        demand(Fraction(total.realised) == realised, "I1 realised", (book.account, total.realised, realised))
        demand(sum(d.realised for d in book.days.values()) == total.realised, "I1 days", book.days)
    demand(found == expected, "I1 I12 positions = fold of the distinct fills", (found, expected))


def _accepted(scenario: Scenario, outcomes: Sequence[Document]) -> None:
    """Check that of every message about fills one thing became, or that it was given up and came back as another one."""
    letters, told = scenario.letters, [document.data["message_id"] for document in outcomes]
    assert letters is not None
    demand(not letters.kept, "I3 what was given up is brought back", letters.kept[:1])
    demand(len(told) == len(set(told)), "I3 one outcome of a message", told)
    accepted = scenario.facts.accepted
    dead = (letters.ids & accepted) - set(told)
    demand(
        len(accepted) == len(told) + len(dead),
        "I3 accepted = applied + duplicates + quarantined + given up",
        (sorted(accepted - set(told) - dead), len(accepted), len(told), len(dead)),
    )


def _given_up(scenario: Scenario) -> None:
    """Check that people are told what Pub/Sub gave up."""
    if scenario.letters is None or "alerts" not in scenario.world.handlers:
        return
    told = set()
    for document in scenario.world.store.query("incidents"):
        for standing in orjson.loads(document.data["state"])["standing"].values():
            if standing["told_at"]:
                told.add((standing["alert"]["kind"], standing["alert"]["object"]))
    for name in scenario.letters.given_up:
        demand(("dead_letter", name) in told, "I10 what is given up is told", (name, told))


def _effects(scenario: Scenario) -> None:
    missing = unannounced(scenario)
    demand(
        not missing,
        "I4 every committed effect goes out",
        [scenario.facts.effects[i][:200] for i in sorted(missing)[:2]],
    )
    chained = {orjson.loads(d.data["row"])["event_id"] for d in scenario.world.store.query("audit")}
    for id_ in scenario.facts.journaled:
        rows = {row["event_id"] for row in orjson.loads(scenario.facts.effects[id_])["rows"]}
        demand(rows <= chained, "I8 every audit row gets its place in its chain", rows - chained)
    for id_ in _local(scenario) - scenario.facts.journaled:
        request = orjson.loads(scenario.facts.effects[id_])
        if "scope" not in request:  # a close: see desk_invariants
            continue
        control = scenario.world.store.get(_control(request["scope"]))
        seen = orjson.loads(control.data["state"])["seen"] if control else {}
        demand(request["request_id"] in seen, "I4 every ordered state change is made", request)
    if "history" in scenario.world.handlers:
        kept = scenario.facts.rows.items()  # but for what a person has loaded, which is no effect
        rows = {key for key, copies in kept if copies[-1].get("source") != LOADED}
        due = set()
        for body in scenario.facts.effects.values():
            message = orjson.loads(body)
            if message.get("type") == "stopline.history.v1":
                due |= {(row["table"], row["event_id"]) for row in message["rows"]}
        demand(due == rows, "I4 every history row arrives", sorted(due ^ rows)[:3])
        for key in rows:
            versions = scenario.facts.rows[key]
            demand(
                len({canonical(v) for v in versions}) == 1, "I5 one event id, one content", (key, versions)
            )


def unannounced(scenario: Scenario) -> set[str]:
    """Return the effects that were committed and have not gone out."""
    facts = scenario.facts
    told = _heard(scenario)
    delivered = {id_ for id_, notice in _notices(scenario).items() if notice["alert"]["alert_id"] in told}
    return set(facts.effects) - set(facts.announced) - _local(scenario) - delivered


def untold(scenario: Scenario) -> bool:
    """Tell whether alerts wait for a digest."""
    documents = scenario.world.store.query("incidents")
    return any(orjson.loads(document.data["state"])["digest_at"] for document in documents)


def _local(scenario: Scenario) -> set[str]:
    """Return the effects that are carried out where they arise: changes of the trading state, closes, and audit rows."""
    close = b'"type":"stopline.close_request.v1"'
    effects = scenario.facts.effects.items()
    found = {id_ for id_, body in effects if body.startswith(b'{"action":"') or close in body}
    return found | scenario.facts.journaled


def _notices(scenario: Scenario) -> dict[str, dict[str, Any]]:
    """Return the notices that were committed, by the id of their effect: whoever has channels delivers them."""
    marker = b'"type":"stopline.notice.v1"'
    return {id_: orjson.loads(body) for id_, body in scenario.facts.effects.items() if marker in body}


def _heard(scenario: Scenario) -> set[str]:
    """Return the alerts that people got, alone or by the message that took their place after an outage."""
    heard = {id_ for id_, _, _ in scenario.facts.sent}
    successors = {
        orjson.loads(document.data["state"])["alert"]["alert_id"]: document.data["told_by"]
        for document in scenario.world.store.query("alerts")
        if document.data.get("told_by")
    }
    for id_ in successors:
        last = id_
        while last in successors:
            last = successors[last]
        if last in heard:
            heard.add(id_)
    return heard


def _control(scope: str) -> Path:
    return Path("controls", document_id(scope_of(scope).document))


def _alerts(scenario: Scenario) -> None:
    if "alerts" not in scenario.world.handlers:
        return
    facts = scenario.facts
    doubt = Counter(facts.doubt)
    told: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for id_, channel, address in facts.sent:
        told[id_].append((channel, address))
    heard = _heard(scenario)
    covered: set[str] = set()
    for notice in _notices(scenario).values():
        id_ = notice["alert"]["alert_id"]
        demand(id_ in heard, "I4 every notice reaches somebody", notice["alert"]["summary"])
        repeats = sum(count - 1 for count in Counter(told[id_]).values())
        demand(
            repeats <= doubt[id_],
            "I5 no message twice, but for an answer in doubt",
            (id_, told[id_], doubt[id_]),
        )
        covered |= set(notice["covers"])
    known: dict[str, dict[str, Any]] = {}
    for document in scenario.world.store.query("incidents"):
        for standing in orjson.loads(document.data["state"])["standing"].values():
            known |= dict.fromkeys(standing["seen"], standing)
    for id_, body in facts.effects.items():
        alert = orjson.loads(body)
        if alert.get("type") != "stopline.alert.v1" or id_ in covered:
            continue
        standing = known.get(id_)
        demand(standing, "I4 every alert is taken in", alert["summary"])
        assert standing is not None
        quiet = standing["told_at"] or alert["severity"] != "critical"
        demand(quiet, "I4 a critical alert that is not told repeats one that was", (alert, standing))


def _closings(scenario: Scenario) -> None:
    broker = scenario.facts.broker
    if scenario.focus != "kill" or broker is None:
        return
    demand(not broker.flips, "I6 no command flips or adds to a position", broker.flips)
    document = scenario.world.store.get(_control("account:a"))
    demand(document is not None, "I6 a kill is persisted", "")
    assert document is not None
    control = orjson.loads(document.data["state"])
    if control["state"] == "HALTED":
        left = {k: v for k, v in broker.positions.items() if v}
        demand(not left, "I6 a halt ends flat", left)
        closing = scenario.world.store.get(Path("closings", document_id("a")))
        halt = orjson.loads(closing.data["state"])["halt"] if closing else None
        demand(halt and halt["status"] == "FLAT", "I6 and says so", halt)
    elif scenario.facts.answers.get("resume-1"):
        # a limit may have stopped trading since
        demand("person" not in control["holds"], "I6 resumed", (control["state"], control["holds"]))


def naive_fold(fills: list[dict[str, Any]]) -> dict[tuple[str, str], tuple[Fraction, Fraction, Fraction]]:
    """An independent first in, first out, in whole millionths: (account, symbol) -> (quantity, realised gross, fees)."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for fill in fills:
        if fill.get("ref") is None:
            groups[fill["account"], fill["instrument"]["symbol"]] += _standing(fill, fills)
    result = {}
    for key, group in groups.items():
        group.sort(
            key=lambda f: (_moment(f["executed_at"]), document_id(f["broker"], f["account"], f["fill_id"]))
        )
        lots: list[list[int]] = []
        realised = fees = 0
        for fill in group:
            left = _millionths(fill["quantity"]) * (1 if fill["side"] == "BUY" else -1)
            if (
                fill.get("ends") == "held"
            ):  # whatever that is: of two settlements the first leaves the other nothing
                left = -sum(lot[0] for lot in lots)
            price = _millionths(fill["price"])
            fees += fill["fee"]
            while left and lots and lots[0][0] * left < 0:
                part = min(abs(left), abs(lots[0][0]))
                sign = 1 if lots[0][0] > 0 else -1
                realised += part * sign * (price - lots[0][1])
                lots[0][0] -= part * sign
                left += part * sign
                if not lots[0][0]:
                    lots.pop(0)
            if left:
                lots.append([left, price])
        held, points = Fraction(sum(lot[0] for lot in lots), MILLION), Fraction(realised, MILLION * MILLION)
        multiplier = int(group[0]["instrument"].get("multiplier", 1)) if group else 1
        result[key] = (held, points * multiplier, Fraction(fees, MILLION))
    return result


def _standing(fill: dict[str, Any], fills: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what is left of a fill after its bust, its last correction and its late fees; its fee in millionths."""
    about = [f for f in fills if f.get("ref") == fill["fill_id"] and f["account"] == fill["account"]]
    if any(f["kind"] == "BUST" for f in about):
        return []
    corrections = [f for f in about if f["kind"] == "CORRECT"]
    last = max(corrections, key=lambda f: (_moment(f["executed_at"]), f["fill_id"]), default=fill)
    whole = _millionths(last["fee"])  # of a correction it is the whole fee, or none is known
    late = [f["fee"] for f in about if f["kind"] == "FEE" and not (corrections and whole)]
    fees = [last["fee"] if whole else fill["fee"], *late]
    terms = {"quantity": last["quantity"], "price": last["price"], "fee": sum(map(_millionths, fees))}
    return [{**fill, **terms}]


_moment = lru_cache(maxsize=256)(datetime.fromisoformat)


@lru_cache(maxsize=4096)
def _millionths(text: str) -> int:
    """Return a number of a message in millionths, exactly: what has more places is not played here."""
    number = Fraction(text) * MILLION
    assert number.denominator == 1, text
    return number.numerator
