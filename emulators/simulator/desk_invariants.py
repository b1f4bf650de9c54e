"""What must hold where positions are closed: while it goes on, and when the desk has come to rest."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import orjson

from emulators.simulator.demand import demand
from stopline.ledger.encoding import decode_book
from stopline.model.closing import CLOSE_REQUEST_TYPE
from stopline.model.ids import document_id
from stopline.model.scopes import GLOBAL
from stopline.ports import Path

if TYPE_CHECKING:
    from emulators.simulator.desk import DeskScenario

ACCOUNT = document_id("a")
LAST = {"exit_stuck", "strategy_stuck", "closing_stuck", "closing_refused", "leg_alone", "overfilled"}


def stops_only_tighten(scenario: DeskScenario, state: str) -> None:
    """R4: check a risk state against the one before: the stop of a trade that goes on never moves away from its price,
    and a strategy's never falls within a session.
    """
    exits = orjson.loads(state)["exits"]
    new: dict[str, tuple[object, int, Decimal]] = {}
    for id_, some in exits["trades"].items():
        if "stop" in some:  # its side stands before its legs: the book of this moment may be another one
            new[id_] = some["shape"], int(some["shape"].partition(":")[0]), Decimal(some["stop"])
    for name, some in exits["strategies"].items():
        if "stop" in some:
            new[name] = (
                (some.get("session"), some.get("base"), bool(some.get("stopped"))),
                1,
                Decimal(some["stop"]),
            )
    for key, (shape, side, stop) in new.items():
        old = scenario.stops.get(key)
        if old is not None and old[:2] == (shape, side):
            demand((stop - old[2]) * side >= 0, "R4 a stop never loosens", (key, side, old[2], stop))
    scenario.stops = new


def closing_of(scenario: DeskScenario) -> dict[str, Any]:
    """Return the closings of the account as stored; empty where there never were any."""
    document = scenario.world.store.get(Path("closings", ACCOUNT))
    return orjson.loads(document.data["state"]) if document else {}


def is_closing(scenario: DeskScenario) -> bool:
    """Tell whether something has to be closed and is not."""
    closing = closing_of(scenario)
    if any(one["status"] == "CLOSING" for one in closing.get("asked", {}).values()):
        return True
    halt = closing.get("halt")
    return bool(_flattened(scenario)) or (
        halt is not None and halt["status"] == "CLOSING" and _is_halted(scenario)
    )


def _is_halted(scenario: DeskScenario) -> bool:
    return bool(_flattens(scenario))


def _flattens(scenario: DeskScenario) -> set[str]:
    """Return the scopes of which a halt closes everything."""
    controls = scenario.truth.documents.values()
    standings = (s for control in controls for s in (control, *control["parts"].values()))
    return {s["scope"] for s in standings if s["state"] == "HALTED" and s["flatten"]}


def _flattened(scenario: DeskScenario) -> list[tuple[str, str]]:
    """Return the positions at the broker that a halt with flatten has to close."""
    controls = scenario.truth.documents.values()
    standings = {s["scope"]: s for control in controls for s in (control, *control["parts"].values())}
    left = []
    for (strategy, symbol), units in scenario.adapter.venue.positions.items():
        covering = (standings.get(scope) for scope in scenario.truth.covering(strategy, symbol))
        if units and any(s and s["state"] == "HALTED" and s["flatten"] for s in covering):
            left.append((strategy, symbol))
    return left


def desk_at_rest(scenario: DeskScenario) -> None:
    """F37, F43, F44, R4.5: the book is what the broker holds, what had to be closed is closed, and nothing turned round."""
    venue = scenario.adapter.venue
    demand(not venue.turned, "I6 no command turns a position round", venue.turned)
    document = scenario.world.store.get(Path("books", ACCOUNT))
    book = decode_book(document.data["state"]) if document else None
    booked = {(p.strategy, p.instrument.symbol): p.quantity for p in book.open_positions()} if book else {}
    held = {key: units for key, units in venue.positions.items() if units}
    demand(booked == held, "I1 the book is what the broker holds", (booked, held))
    closing = closing_of(scenario)
    asked = closing.get("asked", {})
    for id_, body in scenario.facts.effects.items():
        request = orjson.loads(body)
        if request.get("type") == CLOSE_REQUEST_TYPE:
            demand(
                request["request_id"] in asked, "I4 every close that was committed is begun", (id_, request)
            )
    open_ = [(id_, one["waits"]) for id_, one in asked.items() if one["status"] == "CLOSING"]
    demand(not open_, "R4.5 what triggered is closed", open_)
    refused = [id_ for id_, one in asked.items() if one["status"] == "REFUSED"]
    kinds = {orjson.loads(body).get("kind") for body in scenario.facts.effects.values()}
    demand(not refused or kinds & LAST, "R4.5 or people are told", refused)
    astray = [id_ for id_, one in asked.items() if one["status"] == "ASTRAY"]
    demand(
        not astray or "closing_astray" in kinds, "R4.5 what was executed for another trade is told", astray
    )
    demand(not _flattened(scenario), "I6 a halt ends flat", (_flattened(scenario), closing.get("halt")))
    halted = _flattens(scenario)
    if halted:
        positions = book.positions.values() if book else ()
        traded = {s for p in positions for s in scenario.truth.covering(p.strategy, p.instrument.underlying)}
        says = "FLAT" if halted & {*traded, GLOBAL, scenario.truth.own} else "NOTHING_HELD"
        demand(closing["halt"]["status"] == says, "I6 and says so", (says, closing["halt"]))
