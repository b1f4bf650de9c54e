"""What must be true at the end of an interleaving, when no fault is left and nothing is under way."""

from typing import TYPE_CHECKING

from emulators.simulator.control_gauge import HOLD
from emulators.simulator.demand import demand

if TYPE_CHECKING:
    from emulators.simulator.control import ControlScenario


def is_due(scenario: "ControlScenario") -> bool:
    """Tell whether an outbox is not empty yet."""
    store = scenario.world.store
    kinds = ("controls", "closings", "health")
    return any(d.data.get("outbox_at") for kind in kinds for d in store.query(kind))


def at_rest(scenario: "ControlScenario") -> None:
    """Every word was heard: stored once, told to the adapter, and nothing works against it."""
    demand(not scenario.world.gave_up, "I10 nothing is left behind", scenario.world.gave_up[:1])
    demand(not is_due(scenario), "I4 every committed effect goes out", "")
    truth, adapter = scenario.truth, scenario.adapter
    carried = [id_ for id_, event, _ in truth.events if event != "resume_refused"]
    carried = [id_ for id_ in carried if not id_.startswith("lapse-")]
    demand(len(carried) == len(set(carried)), "I5 a request is carried out once", carried)
    for id_, body in scenario.requests.items():
        said = scenario.answers.get(id_, "")
        demand(said, "I10 every request is answered", body)
        if body["action"] == "kill" or said[0] == "2":
            demand(truth.remembers(body["scope"], id_), "I6 what was answered is stored", (body, said))
    for halt, (scope, _) in truth.halts.items():
        demand(truth.is_stored(scope, halt), "I6 I10 a halt that people were told of is stored", scope)
    demand(not adapter.client.halts, "I10 a halt ends when its kill is stored", adapter.client.halts)
    if scenario.is_gauged:
        held = truth.documents.get(scenario.truth.own, {"holds": {}})["holds"]
        demand(HOLD in held, "I6 what is worse than before stops trading, resumed or not", sorted(held))
        closes = held[HOLD]["flatten"] or scenario.reduces
        demand(closes, "I6 what two readings say closes", held[HOLD])
    demand(not adapter.venue.turned, "I6 no command turns a position round", adapter.venue.turned)
    if adapter.venue.deaf:
        return
    for ticket in adapter.venue.working.values():
        scopes = truth.covering(ticket.strategy, ticket.instrument.underlying)
        halted = [s for s in scopes if truth.states.get(s) == "HALTED"]
        # docs/kill-switch.md: who hears the whole cancel when its epoch is over has cancelled what could add by then
        is_left = adapter.is_behind and ticket.id not in adapter.adding()
        demand(
            not (ticket.adds and halted) or is_left, "I6 nothing works in what is halted", (ticket, halted)
        )
    for strategy, symbol in {ticket.key for ticket in adapter.venue.working.values()}:
        stopped = [s for s in truth.covering(strategy, symbol) if s in truth.states]
        held = adapter.venue.held(strategy, symbol)
        left = [t.left for t in adapter.venue.working.values() if t.key == (strategy, symbol)]
        reduces = all(units * held < 0 for units in left) and sum(map(abs, left)) <= abs(held)
        demand(
            reduces or not stopped,
            "I6 what works where trading is stopped reduces",
            (left, held, stopped),
        )
