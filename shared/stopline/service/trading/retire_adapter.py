"""The broker adapters of an account, and the end of one that was taken away: nobody misses it any more."""

from dataclasses import dataclass
from datetime import datetime

from stopline.model.errors import Rejected, Transient
from stopline.model.ids import digest, document_id
from stopline.model.scopes import account_scope
from stopline.model.times import utc_text
from stopline.ports import Clock, Conflict, Delete, Path, Store, Where
from stopline.service.audit.journal import Journals, journal_effect
from stopline.service.history.rows import audit_row
from stopline.service.trading.unheard import LEASES


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter as its last lease tells of it. `leased_until`: when that one ran out, or will."""

    name: str
    leased_until: datetime
    broker_ok: bool


def adapters(store: Store, account: str) -> list[Adapter]:
    """Return the adapters of an account that ever had a lease and were not retired, by name."""
    found = [d.data for d in store.query(LEASES, [Where("account", "==", account)])]
    return sorted(
        (Adapter(data["adapter"], data["expires_at"], data["broker_ok"]) for data in found),
        key=lambda adapter: adapter.name,
    )


def retire_adapter(
    store: Store, journals: Journals, clock: Clock, account: str, adapter: str, actor: str, reason: str
) -> None:
    """Forget an adapter, on record: its silence is over, and what it last said of its broker holds nothing back.

    One that asks for a lease again is watched again. Raises Rejected NO_ADAPTER where none of that name had a lease, and
    STILL_LEASED while it has one. The record comes first: whoever dies in between does it again.
    """
    path, now = Path(LEASES, document_id(account, adapter)), clock.now()
    document = store.get(path)
    if document is None:
        raise Rejected("NO_ADAPTER", f"account {account} has no adapter {adapter[:64]!r}")
    until: datetime = document.data["expires_at"]
    if until > now:
        raise Rejected("STILL_LEASED", f"{adapter} has a lease until {utc_text(until)}: stop it first")
    row = audit_row(
        event_id=digest("adapter_retired", account, adapter, utc_text(until)),
        scope=account_scope(account),
        event="adapter_retired",
        actor=actor,
        reason=reason,
        at=now,
        detail={"adapter": adapter, "leased_until": utc_text(until)},
    )
    journals.carry_out(journal_effect(account, [row]))
    try:
        store.commit([Delete(path, document.version)])
    except Conflict:
        raise Transient(f"{adapter} has asked for a lease just now: it was not retired") from None
