"""The one way to say that an invariant does not hold."""

from emulators.simulator.world import Violated


def demand(holds: object, name: str, detail: object) -> None:
    """Raise Violated unless a condition holds."""
    if not holds:
        raise Violated(f"{name}: {detail}")
