"""Trading leases for broker adapters: granted only while Stopline itself is awake."""

import logging
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from stopline.model.account import Account
from stopline.model.control import ONE, Control, TradingState, effective_for
from stopline.model.errors import Rejected
from stopline.model.ids import document_id
from stopline.model.lease import VALID_S, Lease, LeaseRequest, PartState
from stopline.ports import Clock, Document, Path, Put, Store, Where
from stopline.service.documents.aggregate import Aggregates
from stopline.service.sweep.epochs import epochs_of
from stopline.service.sweep.heartbeat import HEARTBEAT, share_of, watched_until, why_unwatched
from stopline.service.trading.control_documents import both
from stopline.service.trading.order_spans import holder_of, with_orders
from stopline.service.trading.set_back import is_of_another

COLLECTION = "leases"
WENT_BACK = "the trading state was deleted or put back as it was"
log = logging.getLogger("stopline")


class Leases:
    """Grants leases, and remembers what adapters said about their brokers."""

    def __init__(self, store: Store, clock: Clock, controls: Aggregates[Control], database: str = "") -> None:
        self._database = database
        self._store = store
        self._clock = clock
        self._controls = controls

    def grant(self, account: Account, request: LeaseRequest) -> Lease:
        """Return a lease of an account for an adapter: of a minute, but none outlives the three minutes of a silent sweep.

        Raises Rejected SWEEP_SILENT when nobody has watched its limits for three minutes, or ever in this database,
        EPOCH_WENT_BACK when the trading state was deleted or put back, and Unavailable when it cannot be read: the adapter's
        last lease runs out.
        """
        now = self._clock.now()
        name = account.account
        beat = self._store.get(HEARTBEAT)
        unwatched = why_unwatched(beat, name, now)
        if beat is None or unwatched:
            raise Rejected("SWEEP_SILENT", f"{unwatched}: limits are not watched")
        if is_of_another(beat, self._database):
            raise Rejected("SWEEP_SILENT", "the database is a copy: no sweep has come to its end in it")
        everywhere, own = both(self._controls, name)
        known = epochs_of(beat)
        if any(control.epoch < known.get(control.scope, 0) for control in (everywhere, own)):
            raise Rejected(
                "EPOCH_WENT_BACK", f"{WENT_BACK}: the next sweep takes it up out of the audit trail"
            )
        holding = effective_for(everywhere, own, name)
        lease = Lease(
            account=name,
            state=holding.state,
            epoch=holding.epoch,
            size=min(holding.size, share_of(beat, name)),
            parts=tuple(
                PartState(scope=p.scope, state=p.state, size=p.size)
                for p in own.parts.values()
                if p.state is not TradingState.ACTIVE or p.size < ONE
            ),
            auto_trading=account.trading.auto_trading,
            strategies=account.trading.strategies,
            stored=tuple(h for h in request.halts if everywhere.knows_halt(h) or own.knows_halt(h)),
            granted_at=now,
            expires_at=min(now + timedelta(seconds=VALID_S), watched_until(beat, name)),
        )
        path = _path(name, request.adapter)
        before = self._store.get(path)
        last = before.data.get("epoch") if before else None
        if type(last) is int and last > lease.epoch:
            raise Rejected("EPOCH_WENT_BACK", f"{WENT_BACK}: this adapter's last lease was of epoch {last}")
        spans = with_orders(before, request.orders, now)
        self._store.commit([Put(path, {**_fields(lease, request), "orders": spans})])
        return lease


def adapter_facts(store: Store, now: datetime) -> dict[str, dict[str, Decimal | None]]:
    """Return by account what its adapters last said, the worst of each. An account without a lease is not there."""
    alive: dict[str, list[Document]] = defaultdict(list)
    for document in store.query(COLLECTION, [Where("expires_at", ">", now)]):
        alive[holder_of(document.path)[0]].append(document)
    return {account: _worst(leases) for account, leases in alive.items()}


def silent_facts(store: Store, account: str, now: datetime) -> dict[str, Decimal | None]:
    """Return what those adapters of an account last said, the worst of each, whose lease has run out; none: nothing."""
    leases = store.query(COLLECTION, [Where("account", "==", account)])
    silent = [lease for lease in leases if not _is_good(lease.data.get("expires_at"), now)]
    return _worst(silent) if silent else {}


def _is_good(until: object, now: datetime) -> bool:
    return isinstance(until, datetime) and until > now


def _worst(leases: Sequence[Document]) -> dict[str, Decimal | None]:
    said = [_said(lease) for lease in leases]
    latencies = [latency for _, _, latency in said if latency is not None]
    return {
        "broker_errors": Decimal(sum(not is_ok for is_ok, _, _ in said)),
        "api_errors": Decimal(max(errors for _, errors, _ in said)),
        "latency_ms": Decimal(max(latencies)) if latencies else None,
    }


def _said(lease: Document) -> tuple[bool, int, int | None]:
    """Return whether an adapter's broker does well, its errors and its latency. A word that cannot be read is a bad one."""
    is_ok, errors, latency = (lease.data.get(name) for name in ("broker_ok", "errors", "latency_ms"))
    if type(is_ok) is bool and type(errors) is int and (latency is None or type(latency) is int):
        return is_ok, errors, latency
    log.error("what an adapter said cannot be read", extra={"document": str(lease.path)})
    return False, 0, None


def _path(account: str, adapter: str) -> Path:
    return Path(COLLECTION, document_id(account, adapter))


def _fields(lease: Lease, request: LeaseRequest) -> dict[str, Any]:
    return {
        "account": lease.account,
        "adapter": request.adapter,
        "epoch": lease.epoch,
        "trading_state": lease.state.value,
        "granted_at": lease.granted_at,
        "expires_at": lease.expires_at,
        "broker_ok": request.broker_ok,
        "errors": request.errors,
        "latency_ms": request.latency_ms,
    }
