"""The client of adapters: a kill that could not be stored holds until it is, through leases and restarts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stopline.model.control import TradingState

from .client_calls import act, client_of, halt_message, kill_request, order, second_path
from .conftest import Served, wait


def test_a_halt_that_was_not_stored_holds_until_it_is(swept: Served) -> None:
    """F41: through leases that do not know of it yet."""
    client = client_of(swept)
    client.renew()
    halt, store = second_path(swept, kill_request())
    assert client.take(halt).halt is not None
    assert client.renew(), "Firestore is back, the kill is not stored yet"
    assert client.refusal(order()) == "account:demo is HALTED"
    store()
    client.renew()
    assert client.halts == {}
    assert client.refusal(order()) == "account:demo is HALTED"


def test_another_kill_does_not_end_a_halt_that_was_not_stored(swept: Served) -> None:
    """F41: a strategy's halt outlives the halt of its account, which people lift before the strategy's is stored."""
    client = client_of(swept)
    strategy = kill_request("k-1", "strategy:demo:core")
    halt, store = second_path(swept, strategy)
    client.take(halt)
    swept.world.app.trading.set(kill_request("k-2"))
    assert client.renew()
    wait(swept, 61)
    act(swept, "resume", "r", expected_epoch=1, confirm="RESUME account:demo")
    swept.world.sweep()
    swept.world.run()
    assert client.renew()
    assert client.refusal(order()) == "strategy:demo:core is HALTED"
    assert client.refusal(order(strategy="other")) is None
    store()
    client.renew()
    assert client.halts == {}


@pytest.mark.parametrize(
    "before",
    [{}, {"reason": "another"}, {"scope": "strategy:demo:core"}, {"action": "pause", "flatten": True}],
    ids=str,
)
def test_a_kill_under_a_used_id_that_could_not_be_stored_holds_all_the_same(
    swept: Served, before: dict[str, Any]
) -> None:
    """F41: an id that was used before, resumed or for something else, must not let a lease, or the sweep, believe that the
    kill is stored.
    """
    client, scope = client_of(swept), str(before.get("scope", "account:demo"))
    trading = swept.world.app.trading
    first = kill_request().model_copy(update=before)
    trading.set(first)
    wait(swept, 61)
    act(swept, "resume", "r", scope=scope, expected_epoch=1, confirm=f"RESUME {scope}")
    wait(swept, 600)
    halt, store = second_path(swept, kill_request())
    client.take(halt)
    swept.world.sweep()
    swept.world.run()
    assert client.renew(), "Firestore is back, the kill is not stored yet"
    assert client.refusal(order()) == "account:demo is HALTED"
    store()
    assert trading.standing("account:demo").state is TradingState.HALTED
    epoch = trading.standing("account:demo").epoch
    store()
    assert trading.standing("account:demo").epoch == epoch
    client.renew()
    assert client.halts == {}
    assert client.refusal(order()) == "account:demo is HALTED"


def test_a_halt_that_comes_while_others_are_looked_through_disturbs_nobody(swept: Served) -> None:
    """Issue 6: orders are checked in one thread while the halts come in another."""
    client = client_of(swept)
    client.take(halt_message(swept, kill_request("k-1", "strategy:demo:other")))
    looked_through = iter(client.halts.values())
    client.take(halt_message(swept, kill_request("k-2", "strategy:demo:more")))
    assert [halt.scope for halt in looked_through] == ["strategy:demo:other"]
    assert len(client.halts) == 2


def test_a_kill_that_was_stored_by_the_first_path_meanwhile_is_not_stored_again_after_its_resume(
    swept: Served,
) -> None:
    """F41: its message of the second path may come as late as it likes."""
    client, trading = client_of(swept), swept.world.app.trading
    halt, store = second_path(swept, kill_request())
    client.take(halt)
    trading.set(kill_request())
    wait(swept, 61)
    act(swept, "resume", "r", expected_epoch=1, confirm="RESUME account:demo")
    store()
    assert (trading.standing("account:demo").state, trading.standing("account:demo").epoch) == (
        TradingState.ACTIVE,
        2,
    )
    swept.world.sweep()
    swept.world.run()
    client.renew()
    assert (client.halts, client.refusal(order())) == ({}, None)


def test_a_restarted_adapter_still_knows_a_halt_that_was_not_stored(swept: Served, tmp_path: Path) -> None:
    """F41: `kept_in`; the lease that says that it is stored ends it, and empties the file."""
    kept = tmp_path / "halts.json"
    halt, store = second_path(swept, kill_request())
    client_of(swept, kept_in=kept).take(halt)
    again = client_of(swept, kept_in=kept)
    assert again.renew(), "Firestore is back, the kill is not stored yet"
    assert again.refusal(order()) == "account:demo is HALTED"
    assert again.refusal(order(10, 5)) is not None
    store()
    assert again.renew()
    assert again.halts == {}
    assert client_of(swept, kept_in=kept).halts == {}
    assert [path.name for path in tmp_path.iterdir()] == ["halts.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"h": {}}', '{"h": 1}'])
def test_a_file_of_halts_that_cannot_be_read_lets_nothing_add_risk(
    swept: Served, tmp_path: Path, text: str
) -> None:
    """Fail table: UNKNOWN is not free; reducing goes on, and the file stays for people to look at."""
    kept = tmp_path / "halts.json"
    kept.write_text(text)
    client = client_of(swept, kept_in=kept)
    assert client.renew()
    assert "halts.json cannot be read" in str(client.refusal(order()))
    assert client.size("core", "SPY") == 0
    assert client.refusal(order(10, 5)) is None
    assert client.take(halt_message(swept, kill_request())).halt is not None
    assert kept.read_text() == text


def test_a_halt_that_cannot_be_written_holds_all_the_same(
    swept: Served, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = tmp_path / "not-there" / "halts.json"
    client = client_of(swept, kept_in=kept)
    client.take(halt_message(swept, kill_request()))
    assert client.refusal(order()) == "account:demo is HALTED"
    assert "a halt cannot be kept" in caplog.text
    kept.parent.mkdir()
    client.renew()
    assert client_of(swept, kept_in=kept).halts == client.halts


def test_two_clients_with_one_file_let_nothing_add_risk(swept: Served, tmp_path: Path) -> None:
    """F41: each would write over the halts of the other, and the next start forget one."""
    kept = tmp_path / "halts.json"
    one, two = client_of(swept, kept_in=kept), client_of(swept, kept_in=kept)
    assert one.renew()
    assert two.renew()
    one.take(halt_message(swept, kill_request("k-1", "strategy:demo:core")))
    written = kept.read_bytes()
    two.take(halt_message(swept, kill_request("k-2", "strategy:demo:wings")))
    assert kept.read_bytes() == written
    assert "somebody else writes" in str(two.refusal(order(strategy="other")))
    assert two.refusal(order(10, 5, strategy="other")) is None
    assert one.refusal(order(strategy="other")) is None


def test_halts_are_not_changed_under_who_reads_them(swept: Served) -> None:
    """A halt comes on one thread while another asks about an order."""
    client = client_of(swept)
    read = client.halts
    client.take(halt_message(swept, kill_request()))
    assert (read, len(client.halts)) == ({}, 1)
