"""The kill switch: its answer says who may not hear a stop, and what a resume leaves stopped."""

from __future__ import annotations

from typing import Any

import pytest

from stopline.model.ids import document_id
from stopline.model.lease import LeaseRequest
from stopline.ports import Path, Put, Unavailable
from stopline.service.trading import still_stopped

from .conftest import IDA, Served, wait
from .kill_calls import CONFIRM, call, refuse


def leased(switch: Served, account: str) -> None:
    """Let an adapter of an account have a lease, of a minute."""
    switch.world.sweep()
    switch.world.run()
    switch.app.leases.grant(switch.app.accounts.require(account), LeaseRequest(adapter="a"))


def resume(switch: Served, scope: str = "account:demo", **more: Any) -> dict[str, Any]:
    epoch = switch.app.trading.standing(scope).epoch
    words = {
        "scope": scope,
        "request_id": f"r-{scope}",
        "expected_epoch": epoch,
        "confirm": f"RESUME {scope}",
    }
    answer = call(switch, "/resume", **{**words, **more})
    assert answer.status_code in (200, 202), answer.data
    facts: dict[str, Any] = answer.get_json()
    return facts


@pytest.mark.parametrize("path", ["/kill", "/pause"])
def test_a_stop_says_where_no_adapter_has_a_lease(switch: Served, path: str) -> None:
    """I7: `published` is no word of anybody who has heard it."""
    assert call(switch, path).get_json()["unheard"] == ["demo"]
    part = call(switch, path, request_id="r-2", scope="strategy:demo:core").get_json()
    assert part["unheard"] == ["demo"]
    assert call(switch, path, request_id="r-3", scope="global").get_json()["unheard"] == ["demo", "other"]
    leased(switch, "demo")
    assert call(switch, path, request_id="r-4").get_json()["unheard"] == []
    assert call(switch, path, request_id="r-5", scope="global").get_json()["unheard"] == ["other"]
    wait(switch, 61)
    assert call(switch, path, request_id="r-6").get_json()["unheard"] == ["demo"]


def test_a_stop_is_answered_where_nobody_knows_who_hears_it(
    switch: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R5.1: the question comes last, and keeps nothing up."""
    query = switch.world.store.query

    def failing(collection: str, *args: Any, **more: Any) -> Any:
        if collection == "leases":
            raise Unavailable("no answer")
        return query(collection, *args, **more)

    monkeypatch.setattr(switch.world.store, "query", failing)
    answer = call(switch)
    assert (answer.status_code, answer.get_json()["unheard"]) == (200, None)


def test_a_resume_says_what_it_leaves_stopped(switch: Served) -> None:
    """I7: of the account its parts and the whole, of a part its account; what is resumed is not named."""
    call(switch, "/pause", request_id="g", scope="global")
    call(switch, "/pause", request_id="a")
    call(switch, request_id="s", scope="strategy:demo:core")
    wait(switch, 61)
    facts = resume(switch)
    left = {"global": "REDUCING", "strategy:demo:core": "HALTED"}
    assert (facts["state"], facts["still_stopped"]) == ("ACTIVE", left)
    assert resume(switch, "strategy:demo:core")["still_stopped"] == {"global": "REDUCING"}
    first = resume(switch, "global")
    assert (first["state"], "still_stopped" in first) == ("REDUCING", False)
    assert resume(switch, "global", token=IDA, request_id="r-9")["still_stopped"] == {}


def test_a_resume_of_the_whole_names_the_accounts_that_were_stopped_by_themselves(switch: Served) -> None:
    """Also one without settings, of which nobody can read how it is."""
    call(switch, "/pause", request_id="g", scope="global")
    call(switch, request_id="a", flatten=False)
    call(switch, request_id="s", scope="strategy:other:core")
    gone = {"scope": "account:gone", "is_stopped": True, "state": "{"}
    switch.world.store.commit([Put(Path("controls", document_id("account:gone")), gone)])
    wait(switch, 61)
    resume(switch, "global")
    facts = resume(switch, "global", token=IDA, request_id="r-9")
    assert facts["still_stopped"] == {
        "account:demo": "HALTED",
        "account:gone": "UNKNOWN",
        "strategy:other:core": "HALTED",
    }


def test_a_resume_stands_where_what_else_is_stopped_cannot_be_read(
    switch: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    call(switch, "/pause")
    wait(switch, 61)

    def failing(*_: object) -> None:
        raise Unavailable("no answer")

    monkeypatch.setattr(still_stopped, "both_to_stop", failing)
    answer = call(switch, "/resume", request_id="r-2", expected_epoch=1, confirm=CONFIRM)
    assert (answer.status_code, answer.get_json()["still_stopped"]) == (200, None)


BY_HAND = "orders may work there and open positions again, cancel them at the broker by hand"


def test_a_resume_says_who_refused_the_cancel(switch: Served) -> None:
    """R5.1: who lists no orders keeps nobody from resuming; what works there nobody had heard of any more."""
    call(switch, scope="strategy:demo:core", flatten=False)
    refuse(switch, "strategy:demo:core", 1)
    wait(switch, 61)
    said = f"a cancel was refused by other: {BY_HAND}"
    part = resume(switch, "strategy:demo:core")
    assert (part["state"], part["warning"]) == ("ACTIVE", said)
    call(switch, request_id="k-2", scope="global", flatten=False)
    refuse(switch, "account:other", 1)
    wait(switch, 61)
    everywhere = said.replace("other", "other (other)")
    assert resume(switch, "global")["warning"] == everywhere, "the first of two people should know it too"
    assert resume(switch, "global", token=IDA, request_id="r-9")["warning"] == everywhere


def test_a_resume_says_where_nobody_can_read_who_refused_the_cancel(
    switch: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stands all the same: what is read after it proves nothing against it."""
    call(switch, flatten=False)
    wait(switch, 61)
    get = switch.world.store.get

    def failing(path: Path) -> Any:
        if path.collection == "cancels":
            raise Unavailable("no answer")
        return get(path)

    monkeypatch.setattr(switch.world.store, "get", failing)
    facts = resume(switch)
    unknown = f"whether a broker refused a cancel cannot be read: {BY_HAND}"
    assert (facts["state"], facts["warning"]) == ("ACTIVE", unknown)


def test_a_resume_of_what_no_broker_refused_has_no_warning(switch: Served) -> None:
    call(switch, flatten=False)
    wait(switch, 61)
    assert "warning" not in resume(switch)
