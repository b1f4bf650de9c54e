"""Which accounts no adapter listens to: what stops them may reach nobody."""

from collections.abc import Sequence
from datetime import datetime

from stopline.ports import Store, Where

LEASES = "leases"


def unheard(store: Store, accounts: Sequence[str], now: datetime) -> list[str]:
    """Return the accounts of which no adapter has a lease that is good now. One call. Raises Unavailable."""
    where = Where("account", "==", accounts[0]) if len(accounts) == 1 else Where("expires_at", ">", now)
    found = store.query(LEASES, [where])
    heard = {d.data.get("account") for d in found if _is_good(d.data.get("expires_at"), now)}
    return [name for name in accounts if name not in heard]


def _is_good(until: object, now: datetime) -> bool:
    return isinstance(until, datetime) and until > now
