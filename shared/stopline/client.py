"""For broker adapters: hold a trading lease, check orders, take commands safely, publish fills.

An adapter renews its lease every 20 s, asks `refusal` before each order, gives each message of the topic `orders` to
`take`, and publishes what was executed: docs/client.md. What cannot be known refuses what adds risk and nothing else.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from stopline.adapters import bearer
from stopline.adapters.halt_file import HaltFile
from stopline.adapters.term import Term, term_of
from stopline.model.control import TradingState
from stopline.model.decimals import ZERO
from stopline.model.errors import Rejected
from stopline.model.fill import Fill
from stopline.model.lease import Lease, LeaseRequest, latency_of, whole
from stopline.model.messages import HALT_TYPE, Command, CommandAction, Halt
from stopline.model.scopes import GLOBAL, parse_scope, strategy_scope, underlying_scope
from stopline.model.urls import check_token_url
from stopline.model.wire import M, canonical, decode_object, validate
from stopline.model.working import Working, same_side
from stopline.ports import Bus, Clock, Outgoing
from stopline.rules.orders.adapter_order import Beside as Beside
from stopline.rules.orders.adapter_order import Order as Order

REMEMBERED = 10_000  # command ids: far more than can be alive at once
TIMEOUT_S = 5.0

Post = Callable[[str, Mapping[str, Any]], tuple[int, dict[str, Any]]]
"""Send JSON to a path of the API; return status and answer. Whatever it raises means that nothing is known."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What to do about a message: carry out `command`, halt at once and cancel (`halt`), or nothing, and why."""

    command: Command | None = None
    halt: Halt | None = None
    dropped: str = ""


class OtherAccount(Exception):
    """A message is for another account: do not acknowledge it, its own adapter must get it."""


@dataclass
class Client:
    """One adapter's view of one account. Safe to call from several threads.

    `epoch` and the ids of commands are of this process: after a restart the first lease brings the epoch, and commands
    older than it are dropped; an adapter asks its broker what it has executed. `kept_in`: a file of this client alone, out
    of which a restart knows the halts that were not stored yet. Where it cannot be read nothing adds risk.
    """

    account: str
    adapter: str
    post: Post
    clock: Clock
    bus: Bus | None = None
    epoch: int = 0
    lease: Lease | None = None
    fault: str = "no lease was asked for yet"  # why the last lease was not had; empty: it was
    halts: dict[str, Halt] = field(default_factory=dict)  # by id: kills that were not stored yet
    kept_in: Path | None = None

    def __post_init__(self) -> None:
        self._term: Term | None = None
        self._told: Term | None = None  # of the last lease, whether it holds or not
        self._sent = 0  # orders that were let through since an answer
        self._asked = self._had = 0  # which of our questions was the last, and which one brought the lease
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.RLock()
        self._file = HaltFile(self.kept_in)
        self.halts |= self._file.read()

    # --- the lease ---

    def renew(
        self,
        *,
        broker_ok: bool = True,
        errors: int = 0,
        latency_ms: float | None = None,
        orders: int | None = None,
    ) -> bool:
        """Ask for a lease; tell how the broker does, and the `orders` sent (None: as counted). False: not had."""
        asked_at, ticks = self.clock.now(), self.clock.ticks()  # before: a slow answer makes no lease longer
        with self._lock:
            request = LeaseRequest(
                adapter=self.adapter,
                broker_ok=broker_ok,
                errors=whole(errors),
                latency_ms=latency_of(latency_ms),
                orders=whole(self._sent if orders is None else orders),
                halts=tuple(self.halts)[-200:],
            )
            counted, self._sent = self._sent, 0
            self._asked = number = self._asked + 1
        body = request.model_dump(mode="json", exclude_defaults=True)
        answer, self.fault = self._ask("lease", body)
        if self.fault.startswith("400 ") and body.pop("orders", None) is not None:  # a Stopline of before
            answer, self.fault = self._ask("lease", body)
        if self.fault:
            self._let_through(counted)  # nobody has heard of them
            return False
        try:
            lease = _read(Lease, answer)
        except Rejected as refused:
            self.fault = f"the lease cannot be read: {refused.detail}"
            return False
        with self._lock:
            if lease.account != self.account or (lease.epoch, number) < (self.epoch, self._had):
                self.fault = f"the lease is of epoch {lease.epoch} of {lease.account}, {self.epoch} holds"
                return False  # overtaken by a command, or a later answer: by our count, `granted_at` is of another clock
            self.epoch, self.lease, self._had = lease.epoch, lease, number
            self._term = self._told = term_of(lease, asked_at, ticks, self.clock.now())
            self.halts = {id_: halt for id_, halt in self.halts.items() if id_ not in lease.stored}
            self._file.write(self.halts)
        return True

    def is_leased(self) -> bool:
        """Tell whether the lease holds now. A clock that was set back ends it."""
        term = self._term
        if term is None or self._file.fault:
            return False
        return term.holds(self.clock)

    def size(self, strategy: str, underlying: str) -> Decimal:
        """Return the share of the usual size that may be opened: 0 where nothing may."""
        with self._lock:
            lease = self.lease
            if lease is None or not self.is_leased() or self._halted(strategy, underlying):
                return ZERO
        parts = {p.scope: p for p in lease.parts}
        mine = [p for s in _parts(self.account, strategy, underlying) if (p := parts.get(s))]
        if any(state is not TradingState.ACTIVE for state in (lease.state, *(p.state for p in mine))):
            return ZERO
        return min([lease.size, *(p.size for p in mine)])

    # --- before an order ---

    def refusal(self, order: Order, *, is_sent: bool = True) -> str | None:
        """Say why an order may not be sent, or None. Without a lease only what reduces goes through; in a halt nothing,
        because Stopline's own closes are on their way. It knows neither the usual size nor the limits: of an order that
        adds scale the quantity by `size`, and ask `check`. What is let through counts as sent, but where `is_sent` is false.
        """
        if (why := self._why_not(order)) is None:
            self._let_through(int(is_sent))
        return why

    def _why_not(self, order: Order) -> str | None:
        strategy, underlying = order.strategy, order.instrument.underlying
        if halted := self._halted(strategy, underlying):
            return f"{halted} is HALTED"
        if not self.is_leased() or self.lease is None:
            why = self._file.fault or self.fault or "the last one has run out"
            return None if order.reduces else f"there is no lease: {why}"
        if order.reduces:
            return None
        if self.size(strategy, underlying) == ZERO:
            return f"{strategy} in {underlying} is REDUCING"
        may_run = self.lease.auto_trading and self.lease.strategies.get(strategy, True)
        if order.automatic and not may_run:
            return f"automatic trading is off for {strategy}"
        return None

    def check(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Return Stopline's pre-trade decision on an order (`approved`, `reasons`, ...); one that cannot be had is a
        refusal.
        """
        answer, fault = self._ask("check", order)
        if not fault and isinstance(answer.get("approved"), bool):
            return answer
        reason = {"code": "unknown", "detail": fault or "the answer is no decision"}
        return {"approved": False, "largest": "0", "reasons": [reason]}

    # --- commands and fills ---

    def take(self, data: bytes) -> Taken:
        """Read a message of `orders`. A command comes out once, in time, of no epoch that is over. Raises OtherAccount."""
        try:
            value = decode_object(data)
            if value.get("type") == HALT_TYPE:
                return self._take_halt(_read(Halt, value))
            command = _read(Command, value)
        except Rejected as refused:
            return Taken(dropped=f"it cannot be read: {refused.detail}")
        if command.account != self.account:
            raise OtherAccount(f"it is for account {command.account}, and this is {self.account}'s adapter")
        with self._lock:
            if command.command_id in self._seen:
                return Taken(dropped="it was carried out")
            if command.epoch < self.epoch:
                return Taken(dropped=f"epoch {command.epoch} is over, {self.epoch} holds")
            if command.epoch > self.epoch:  # the state has changed and this lease does not know how: it ends
                self.epoch, self._term = command.epoch, None
                self.fault = f"epoch {command.epoch} holds: the lease must be renewed"
            if (self._told.now(self.clock) if self._told else self.clock.now()) >= command.expires_at:
                return Taken(dropped="it has expired")
            self._seen[command.command_id] = None
            while len(self._seen) > REMEMBERED:
                self._seen.popitem(last=False)
        return Taken(command=command)

    def failed(self, command: Command) -> None:
        """Say that a command could not be carried out: the message that comes again is taken again."""
        with self._lock:
            self._seen.pop(command.command_id, None)

    @staticmethod
    def closable(command: Command, held: Decimal, working: Sequence[Working]) -> Decimal:
        """Return how many units of a close may be sent, 0 or more: never so many that the position passes zero.

        `held` and the units of `working`, the orders for the same position, are signed: above 0 long and bought. Those on
        the side of the close may be filled before it, so they count; those that add do not. 0 for a close with `legs`.
        """
        if command.action is not CommandAction.CLOSE or command.quantity is None or not held:
            return ZERO
        if command.side != ("SELL" if held > 0 else "BUY"):
            return ZERO  # it would add
        return max(min(command.quantity, abs(held) - abs(same_side(-held, working))), ZERO)

    def publish(self, fill: Fill) -> None:
        """Publish what was executed. Raises Unavailable: publish it again, under the same id it counts once."""
        if self.bus is None:
            raise RuntimeError("this client has no bus to publish on")
        data = canonical(fill.model_dump(mode="json"))
        self.bus.publish([Outgoing("fills", data, {"account": fill.account})])

    # --- inside ---

    def _let_through(self, orders: int) -> None:
        with self._lock:
            self._sent += orders

    def _take_halt(self, halt: Halt) -> Taken:
        scope = parse_scope(halt.scope)
        if scope is None or scope.account not in ("", self.account):
            raise OtherAccount(f"it is for {halt.scope}, and this is {self.account}'s adapter")
        with self._lock:
            self.halts = {**self.halts, halt.halt_id: halt}  # others may be going through the old one
            self._file.write(self.halts)
        return Taken(halt=halt)

    def _halted(self, strategy: str, underlying: str) -> str | None:
        """Return the scope that is halted, by a halt that was not stored yet or by the last known lease."""
        scopes = [GLOBAL, f"account:{self.account}", *_parts(self.account, strategy, underlying)]
        if halted := next((h.scope for h in self.halts.values() if h.scope in scopes), None):
            return halted
        if self.lease is not None and self.lease.state is TradingState.HALTED:
            return f"account:{self.account}"
        parts = self.lease.parts if self.lease else ()
        return next((p.scope for p in parts if p.state is TradingState.HALTED and p.scope in scopes), None)

    def _ask(self, what: str, body: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
        """Return an answer, and why there is none."""
        try:
            status, answer = self.post(f"/v1/accounts/{self.account}/{what}", body)
        except Exception as problem:  # noqa: BLE001 - whatever the reason: unknown is not allowed
            return {}, f"Stopline cannot be asked ({type(problem).__name__}: {problem})"
        facts: Any = answer
        if not isinstance(facts, dict):  # whatever a Post of somebody else's returns
            return {}, f"{status} {bearer.FOREIGN}: {facts!r:.200}"
        return facts, "" if status == 200 else f"{status} {facts.get('title', '')}: {facts.get('detail', '')}"


def http(url: str, token: Callable[[], str]) -> Post:
    """Return a Post over HTTP. `token` is asked each time: identity tokens expire. No redirect gets it."""
    url = check_token_url(url)

    def post(path: str, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        return bearer.ask(f"{url}{path}", token(), body, TIMEOUT_S)

    return post


def _read(model: type[M], value: Mapping[str, Any]) -> M:
    """Read a message by what is known of it: a later Stopline may say more, and is obeyed all the same."""
    return validate(model, {name: value[name] for name in model.model_fields if name in value})


def _parts(account: str, strategy: str, underlying: str) -> tuple[str, str]:
    return strategy_scope(account, strategy), underlying_scope(account, underlying)
