"""The state that holds: the strictest of all scopes, under an epoch that only grows."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stopline.model.control import Control, TradingState, account_scope, effective

states = st.sampled_from(list(TradingState))
controls = st.builds(
    lambda state, epoch: Control(scope="global", state=state, epoch=epoch), states, st.integers(0, 100)
)


@given(st.lists(controls, max_size=4))
def test_the_strictest_state_of_all_scopes_holds(held: list[Control]) -> None:
    """R5.1, I6: no account is more open than the whole."""
    order = {"ACTIVE": 0, "REDUCING": 1, "HALTED": 2}
    state, _ = effective(*held)
    assert order[state.value] == max((order[c.state.value] for c in held), default=0)


@given(st.lists(controls, min_size=1, max_size=3), st.integers(0, 2), st.integers(1, 5))
def test_the_epoch_of_commands_grows_whenever_a_scope_grows(
    held: list[Control], index: int, more: int
) -> None:
    """F39, I6: an adapter can tell a newer command from an older one, whichever scope changed."""
    index %= len(held)
    grown = [*held]
    grown[index] = held[index].model_copy(update={"epoch": held[index].epoch + more})
    assert effective(*grown)[1] > effective(*held)[1]


def test_nothing_set_means_active_at_epoch_zero() -> None:
    assert effective(Control(scope="global"), Control(scope=account_scope("demo"))) == (
        TradingState.ACTIVE,
        0,
    )
