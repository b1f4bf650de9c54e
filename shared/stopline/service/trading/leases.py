"""Trading leases for broker adapters: granted only while Stopline itself is awake."""

from datetime import datetime, timedelta

from stopline.model.account import Account
from stopline.model.control import ONE, Control, TradingState, effective_for
from stopline.model.decimals import ZERO
from stopline.model.errors import Contended, Rejected
from stopline.model.ids import document_id
from stopline.model.lease import VALID_S, Lease, LeaseRequest, PartState
from stopline.ports import AlreadyExists, Clock, Conflict, Create, Data, Document, Path, Store, Update
from stopline.service.documents.aggregate import TRIES, Aggregates
from stopline.service.sweep.chain_ends import ends_of, is_behind
from stopline.service.sweep.epochs import epochs_of
from stopline.service.sweep.heartbeat import HEARTBEAT, share_of, watched_until, why_unwatched
from stopline.service.trading.adapter_words import is_bad_word, with_word, word_of
from stopline.service.trading.control_documents import both, chain_end
from stopline.service.trading.order_spans import with_orders
from stopline.service.trading.set_back import is_of_another
from stopline.service.trading.unheard import LEASES

WENT_BACK = "the trading state was deleted or put back as it was"


class Leases:
    """Grants leases, and remembers what adapters said about their brokers."""

    def __init__(self, store: Store, clock: Clock, controls: Aggregates[Control], database: str = "") -> None:
        self._database = database
        self._store = store
        self._clock = clock
        self._controls = controls

    def grant(self, account: Account, request: LeaseRequest) -> Lease:
        """Return a lease of an account for an adapter: of a minute, but none outlives the three minutes of a silent sweep.
        One whose own word is bad gets a lease to reduce only; what it does to the account the next sweep judges.

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
        epochs, ends = epochs_of(beat), ends_of(beat)
        if any(
            control.epoch < epochs.get(control.scope, 0)
            or is_behind(ends.get(control.scope), chain_end(control))
            for control in (everywhere, own)
        ):
            raise Rejected(
                "EPOCH_WENT_BACK", f"{WENT_BACK}: the next sweep takes it up out of the audit trail"
            )
        said = self._store.get(_path(name, request))
        holding = effective_for(everywhere, own, name)
        is_bad = is_bad_word(word_of(said, request, now), account.trading)
        least = TradingState.REDUCING if is_bad else TradingState.ACTIVE
        lease = Lease(
            account=name,
            state=max(holding.state, least, key=lambda state: state.rank),
            epoch=holding.epoch,
            size=ZERO if is_bad else min(holding.size, share_of(beat, name)),
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
        self._keep(lease, request, said, now)
        return lease

    def _keep(self, lease: Lease, request: LeaseRequest, before: Document | None, now: datetime) -> None:
        """Remember a lease and what its adapter said: by compare-and-set, so that no word is written over by another."""
        path = _path(lease.account, request)
        for attempt in range(TRIES):
            last = before.data.get("epoch") if before else None
            if type(last) is int and last > lease.epoch:
                raise Rejected(
                    "EPOCH_WENT_BACK", f"{WENT_BACK}: this adapter's last lease was of epoch {last}"
                )
            orders = with_orders(before, request.orders, now)
            fields = {**_fields(lease, request), **with_word(before, request, now), "orders": orders}
            try:
                self._store.commit([Update(path, fields, before.version) if before else Create(path, fields)])
                return
            except (AlreadyExists, Conflict):
                self._clock.pause(attempt)
                before = self._store.get(path)
        raise Contended(f"{path}: {TRIES} tries lost to other requests")


def _path(account: str, request: LeaseRequest) -> Path:
    return Path(LEASES, document_id(account, request.adapter))


def _fields(lease: Lease, request: LeaseRequest) -> Data:
    return {
        "account": lease.account,
        "adapter": request.adapter,
        "epoch": lease.epoch,
        "trading_state": lease.state.value,
        "granted_at": lease.granted_at,
        "expires_at": lease.expires_at,
    }
