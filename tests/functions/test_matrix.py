"""Every route, for every right, on an own, a foreign and an unknown account: generated, so a new route is in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, get_args

import flask
import pytest
from werkzeug.test import TestResponse

from stopline.model.account import Account
from stopline.model.rights import Right
from stopline.runtime import status_api
from stopline.runtime.kill_api import RIGHTS
from stopline.runtime.quotas import BURST
from stopline.runtime.status_api import ROUTES

from . import conftest
from .conftest import Serve, Served, open_accounts

ALL: tuple[Right, ...] = get_args(Right)
HOLDERS = [*ALL, "nothing"]
MAY_STOP: tuple[Right, ...] = ("kill", "trade", "risk", "resume")
OPENS: dict[str, tuple[Right, ...]] = {"kill": MAY_STOP, "pause": MAY_STOP, "resume": ("resume",)}


class Endpoint(NamedTuple):
    """One thing that can be asked, and the rights of which any one opens it."""

    function: str
    method: str
    path: str
    rights: tuple[Right, ...]

    def ask(self, served: Served, token: str, account: str) -> TestResponse:
        headers = {"Authorization": f"Bearer {token}"}
        path = self.path.format(account=account)
        if self.method == "GET":
            return served.client.get(path, headers=headers)
        scope = f"account:{account}"
        body: dict[str, Any] = {"request_id": f"{token}-{len(self.path)}", "scope": scope, "reason": "matrix"}
        return served.client.open(path, method=self.method, json=body, headers=headers)

    def expected(self, right: str) -> str:
        """Say what the holder of one right on an account gets there."""
        if right in self.rights or right == "admin":
            return "open"
        if "kill" in self.rights and right in MAY_STOP:  # who may do more than stop may stop
            return "open"
        if right not in ALL:
            return "404"
        return "403" if self.function == "kill_switch" or right == "view" else "404"


def endpoints() -> Iterator[Endpoint]:
    for name, methods in ROUTES.items():
        for method, route in methods.items():
            yield Endpoint(
                "api", method, "/v1/accounts/{account}" + (f"/{name}" if name else ""), route.rights
            )
    assert OPENS.keys() == RIGHTS.keys()
    for name, rights in OPENS.items():
        yield Endpoint("kill_switch", "POST", f"/{name}", rights)
    yield Endpoint("kill_switch", "GET", "/status?scope=account:{account}", ("view",))


def got(answer: TestResponse) -> str:
    return str(answer.status_code) if answer.status_code in (401, 403, 404) else "open"


def same(answer: TestResponse) -> tuple[int, bytes, dict[str, str]]:
    return answer.status_code, answer.data, dict(answer.headers)


@pytest.fixture
def holders(monkeypatch: pytest.MonkeyPatch) -> None:
    """For each right somebody who has it on `demo` by the deployment, and somebody by the account's document."""
    for right in HOLDERS:
        rights = [right] if right in ALL else []
        deployed = {"name": f"deployed-{right}", "rights": rights, "accounts": ["demo"]}
        monkeypatch.setitem(conftest.TOKENS, f"deployed-{right}", deployed)
        monkeypatch.setitem(conftest.TOKENS, f"granted-{right}", {"name": f"granted-{right}", "accounts": []})


@pytest.mark.parametrize("function", ["api", "kill_switch"])
def test_every_right_opens_its_routes_on_its_accounts_and_nothing_else(
    serve: Serve, holders: None, function: str
) -> None:
    """B63, B64, I9: role x endpoint x account. A foreign account answers as an unknown one, byte for byte."""
    served = serve(function)
    open_accounts(served, "other")
    facts = {"account": "demo", "owner": "ann", "currency": "USD", "capital": "100000"}
    grants = {f"granted-{right}": [right] for right in ALL}
    served.world.app.account_writer.create(Account.model_validate({**facts, "grants": grants}), "ann")
    wrong, asked = [], 0
    for endpoint in endpoints():
        if endpoint.function != function:
            continue
        for right in HOLDERS:
            for source in ("deployed", "granted"):
                token = f"{source}-{right}"
                foreign, unknown, own = (endpoint.ask(served, token, n) for n in ("other", "nobody", "demo"))
                asked += 3
                if got(own) != endpoint.expected(right):
                    wrong.append((endpoint, token, own.status_code, own.data))
                if got(foreign) != "404" or same(foreign) != same(unknown):
                    wrong.append((endpoint, token, foreign.status_code, unknown.status_code))
    assert wrong == []
    assert asked == 6 * len(HOLDERS) * sum(e.function == function for e in endpoints())
    assert served.world.app.trading.read("account:other").epoch == 0


@pytest.mark.parametrize("endpoint", [*endpoints()], ids=lambda e: f"{e.method} {e.function} {e.path}")
def test_a_foreign_account_costs_as_many_calls_as_an_unknown_one(serve: Serve, endpoint: Endpoint) -> None:
    """R6, B64: also where the foreign one was read a moment ago; else the time of the answer tells them apart."""
    served = serve(endpoint.function)
    open_accounts(served, "demo", "other")

    def calls(account: str) -> int:
        before = served.store.calls
        assert endpoint.ask(served, "bob-token-0002", account).status_code == 404
        return served.store.calls - before

    assert [calls(name) for name in ("other", "nobody", "other", "nobody")] == [1] * 4
    endpoint.ask(served, "ann-token-0001", "other")
    assert calls("other") == 1


def test_the_grants_of_an_account_cannot_be_patched_or_read_by_who_may_set_risk(serve: Serve) -> None:
    """B65: nobody gives themselves a right."""
    served = serve("api")
    open_accounts(served, "demo")
    headers = {"Authorization": "Bearer ann-token-0001"}
    body = {"expected_version": 1, "settings": {"grants": {"bob": ["admin"]}}}
    answer = served.client.patch("/v1/accounts/demo/settings", json=body, headers=headers)
    assert (answer.status_code, answer.get_json()["title"]) == (400, "BAD_SETTINGS")
    shown = served.client.get("/v1/accounts/demo/settings", headers=headers).get_json()
    assert "grants" not in shown["settings"]


def test_a_kill_by_a_grant_works_while_the_store_is_down(serve: Serve, holders: None) -> None:
    """F41: an outage takes nobody's kill away, where the account was read before."""
    served = serve("kill_switch")
    facts = {"account": "demo", "owner": "ann", "currency": "USD", "capital": "100000"}
    made = Account.model_validate({**facts, "grants": {"granted-kill": ["kill", "view"]}})
    served.world.app.account_writer.create(made, "ann")
    headers = {"Authorization": "Bearer granted-kill"}
    assert served.client.get("/status?scope=account:demo", headers=headers).status_code == 200
    conftest_wait(served, 120)
    served.outage()
    body = {"request_id": "r", "scope": "account:demo", "reason": "out"}
    answer = served.client.post("/kill", json=body, headers=headers)
    assert (answer.status_code, answer.get_json()["delivery"]) == (202, "published, not persisted")
    body["scope"] = "account:other"
    assert served.client.post("/kill", json=body, headers=headers).status_code == 503


def conftest_wait(served: Served, seconds: float) -> None:
    from datetime import timedelta

    served.world.clock.set(served.world.clock.now() + timedelta(seconds=seconds))


def test_a_proven_identity_has_what_accounts_grant_to_its_address_and_nothing_else(serve: Serve) -> None:
    """B63: 403 for a Google identity that nobody named, whatever it asks for; a grant opens one account."""
    served = serve("api")
    open_accounts(served, "other")
    facts = {"account": "demo", "owner": "ann", "currency": "USD", "capital": "100000"}
    made = Account.model_validate({**facts, "grants": {"eve@example.com": ["view"]}})
    served.world.app.account_writer.create(made, "ann")

    def ask(email: str, account: str) -> int:
        headers = {"Authorization": "Bearer a.b.c"}
        with flask.Flask("t").test_request_context(f"/v1/accounts/{account}", headers=headers):
            return status_api.handle(flask.request, lambda: served.world.app, {}, lambda token: email)[1]

    assert ask("eve@example.com", "demo") == 200
    robot = "robot@other.iam.gserviceaccount.com"
    assert {ask(robot, name) for name in ("demo", "other", "nobody")} == {403}
    assert {ask("eve@example.com", name) for name in ("other", "nobody")} == {403}
    assert ask("no address", "demo") == 403


def test_a_kill_has_no_quota(serve: Serve) -> None:
    """B74: nobody is ever told to wait before they stop trading; a pause is a stop too."""
    served = serve("kill_switch")
    open_accounts(served, "demo")
    headers = {"Authorization": "Bearer ann-token-0001"}
    for n in range(BURST + 20):
        path = "/kill" if n % 2 else "/pause"
        body = {"request_id": f"r{n % 2}", "scope": "account:demo", "reason": "now"}
        assert served.client.post(path, json=body, headers=headers).status_code == 200
    codes = [served.client.get("/status", headers=headers).status_code for _ in range(BURST + 1)]
    assert codes[-1] == 429
    body = {"request_id": "z", "scope": "account:demo", "reason": "now"}
    assert served.client.post("/kill", json=body, headers=headers).status_code == 200
