"""Take alerts in: what is told now, what waits, who is told next. One document an account, one commit an alert.

    alert -> decide (rules/alerting/lifecycle.py) -> commit incidents/{account} with its notices -> deliver them

A notice rides in the outbox of that document. The function `alerts` delivers it right after the commit; after a
crash the next delivery of the alert does, or the sweep publishes it.
"""

from collections.abc import Callable
from datetime import datetime

from stopline.model.account import Account
from stopline.model.errors import Rejected, Unreadable
from stopline.model.ids import digest, document_id
from stopline.model.messages import Alert, Effect
from stopline.model.notices import AlertCheck, Notice
from stopline.model.settings.operator import OperatorAlerts
from stopline.model.settings.recipients import Recipients
from stopline.model.wire import canonical, validate
from stopline.ports import Bus, Clock, Data, Outgoing, Path, Store, Where
from stopline.rules.alerting.acknowledging import (
    TAKEN,
    acknowledged,
    acknowledged_by_link,
    named,
    others_told,
    taken_by_act,
    told_by,
)
from stopline.rules.alerting.audience import USUAL, reaches_somebody
from stopline.rules.alerting.channel_health import FAILED, Failing
from stopline.rules.alerting.delivery import AlertRecord
from stopline.rules.alerting.incidents import LEAST, Decision, Incidents, Manner, Standing
from stopline.rules.alerting.lifecycle import raised
from stopline.rules.alerting.rounds import checked
from stopline.service.accounts.reader import AccountReader
from stopline.service.alerting.records import COLLECTION as NOTICES
from stopline.service.alerting.records import alert_row, decode_record
from stopline.service.audit.journal import journal_effect
from stopline.service.documents.aggregate import Aggregates, Change
from stopline.service.documents.outbox import Relay, typed
from stopline.service.history.rows import audit_row

COLLECTION = "incidents"
NOTICES_TOPIC = "notices"  # carried out by the function that has the channels: see App
MOST = 128  # as ids are long
REFERRED = 200  # messages that a reference may name
LAST_CHARACTER = "\uf8ff"  # behind every character of an id
OPERATOR = "@operator"  # the name of the document of what belongs to no account


class IncidentCodec:
    """An account's alerts as the fields of their document."""

    collection = COLLECTION

    def encode(self, state: Incidents) -> Data:
        live = state.live()
        return {
            "account": state.account,
            "live": len(live),
            "unacknowledged": sum(s.state.value == "firing" and s.critical for s in live),
            "due_at": state.due_at,
            "state": state.model_dump_json(),
        }

    def decode(self, data: Data) -> Incidents:
        return Incidents.model_validate_json(data["state"])


def incidents(store: Store, relay: Relay, clock: Clock) -> Aggregates[Incidents]:
    """Return access to the alerts of all accounts."""
    return Aggregates(store, relay, clock, IncidentCodec())


class AlertDesk:
    """Takes alerts, checks and acknowledgements. `duty`: how the operator is told; `person_behind` names whose act an alert
    tells, if it is a person's.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        documents: Aggregates[Incidents],
        accounts: AccountReader,
        operator: Recipients,
        person_behind: Callable[[Alert], str],
        duty: OperatorAlerts = USUAL,
    ) -> None:
        self._store = store
        self._clock = clock
        self._documents = documents
        self._accounts = accounts
        self._operator = operator
        self._person_behind = person_behind
        self._duty = duty

    def receive(self, alert: Alert) -> None:
        """Take an alert in, once. Raises Transient while a notice is left to deliver, Rejected when the id was used
        for something else.
        """
        self._refuse_reused_id(alert)
        account, manner = self._account(alert.account)
        person = self._person_behind(alert)

        def decide(state: Incidents | None, attempt: int) -> Change[Incidents] | None:
            now = self._clock.now()
            decision = raised(state or Incidents(account=alert.account), alert, manner, now)
            if decision is None:
                return None
            if person:
                decision = taken_by_act(decision, alert, person, manner, now)
            round_ = checked(decision.after, manner, now)
            effects = self._effects(alert.account, account, (*decision.notices, *round_.notices))
            if decision.outcome != "told":
                effects.append(_quiet_row(alert, decision))
            return Change(round_.after, effects)

        self._documents.change(name_of(alert.account), decide)

    def check(self, account: str | None) -> None:
        """Do what time has made due for an account's alerts."""
        known, manner = self._account(account)

        def decide(state: Incidents | None, attempt: int) -> Change[Incidents] | None:
            if state is None:
                return None
            decision = checked(state, manner, self._clock.now())
            if decision.after == state and not decision.notices:
                return None
            return Change(decision.after, self._effects(account, known, decision.notices))

        self._documents.change(name_of(account), decide)

    def read(self, account: str | None) -> Incidents:
        """Return an account's alerts; None: the operator's."""
        return self._documents.read(name_of(account)) or Incidents(account=account)

    def failing(self, account: str | None) -> Failing:
        """Return the channels of an account (None: the operator's) that its people know to fail, and since when."""
        live = self.read(account).live()
        return {s.alert.object: s.since for s in live if s.alert.kind == FAILED}

    def acknowledge(
        self,
        account: str | None,
        reference: str,
        who: str,
        *,
        shown: str = "",
        leave_out: str = "",
        message: AlertRecord | None = None,
    ) -> tuple[Standing, ...]:
        """Note that somebody has taken what stands; return what that was. Escalation ends with it, and the others who
        were called hear of it.

        `reference` is a whole kind, or 4 characters or more of the id of an incident or a message (with its `#` or without);
        empty means all of the account. `shown`: what people read for `who`; `leave_out`: the mark of the address that
        it came from; `message`: the one that it came with, which takes what its readers knew then, and no reference.
        """
        taken: tuple[Standing, ...] = ()
        start, messages = (reference, ()) if message else self._referred(account, reference)
        if reference and not start:
            return taken
        known, manner = self._account(account)

        def decide(state: Incidents | None, attempt: int) -> Change[Incidents] | None:
            nonlocal taken
            now = self._clock.now()
            before = state or Incidents(account=account)
            if message is None:
                after, taken = acknowledged(before, start, who, now, messages)
            else:
                after, taken = acknowledged_by_link(before, message, who, now)
            if not taken:
                return None
            after, others = others_told(after, taken, shown or who, manner, now, leave_out=leave_out)
            due = checked(after, manner, now)
            row = _ack_row(account, taken, who, now)
            return Change(due.after, [*self._effects(account, known, (*others, *due.notices)), row])

        self._documents.change(name_of(account), decide)
        return taken

    def named(self, account: str | None, reference: str) -> tuple[Standing, ...]:
        """Return what a reference names of what stands, whether somebody has taken it or not."""
        start, messages = self._referred(account, reference)
        return tuple(s for _, s in named(self.read(account), start, messages)) if start else ()

    def told_by(self, message: AlertRecord) -> tuple[Standing, ...]:
        """Return what stands of what the readers of a message knew then, whether somebody has taken it or not."""
        return told_by(self.read(message.alert.account), message)

    def _referred(self, account: str | None, reference: str) -> tuple[str, tuple[AlertRecord, ...]]:
        """Return a reference as ids are written, and the account's messages whose ids begin with it."""
        return reference.strip().lstrip("#"), self.messages(account, reference)

    def messages(self, account: str | None, reference: str) -> tuple[AlertRecord, ...]:
        """Return the messages of an account whose ids begin with four characters or more, with `#` or without."""
        start = reference.strip().lstrip("#")
        if not (LEAST <= len(start) <= MOST and start.isascii()):  # no id: a store may refuse to look for it
            return ()
        where = [Where("alert_id", ">=", start), Where("alert_id", "<", start + LAST_CHARACTER)]
        documents = self._store.query(NOTICES, where, ["alert_id"], limit=REFERRED)
        return tuple(r for d in documents if (r := decode_record(d)).alert.account == account)

    def delivered(self, notice_id: str) -> AlertRecord:
        """Return the record of a message that went out. Raises Rejected when there is none."""
        document = self._store.get(Path(NOTICES, document_id(notice_id)))
        if document is None:
            raise Rejected("UNKNOWN_ALERT", f"there is no message {notice_id[:8]}")
        return decode_record(document)

    def _refuse_reused_id(self, alert: Alert) -> None:
        document = self._store.get(Path(NOTICES, document_id(alert.alert_id)))
        if document is None:
            return
        known = decode_record(document).alert
        if (known.account, known.kind, known.resolved) != (alert.account, alert.kind, alert.resolved):
            raise Rejected(
                "ALERT_ID_REUSED", f"alert id {alert.alert_id} was used for another alert: {known.kind}"
            )

    def _account(self, name: str | None) -> tuple[Account | None, Manner]:
        """Return the account and how to tell; settings that cannot be read must not silence an alert."""
        try:
            account = self._accounts.get(name) if name else None
        except (Rejected, Unreadable):
            account = None
        if account is None:
            return None, Manner(self._duty, self._duty.time_zone)
        return account, Manner(account.alerting, account.time_zone)

    def _effects(
        self, name: str | None, account: Account | None, notices: tuple[Notice, ...]
    ) -> list[Effect]:
        """Return the notices as effects. One that repeats what is known goes to nobody but its own readers."""
        return [
            Effect(digest("notice", n.alert.alert_id), NOTICES_TOPIC, name or "", n.model_dump(mode="json"))
            for n in notices
            if not (n.ring == "phone" or n.alert.kind == TAKEN)
            or reaches_somebody(n, account, self._operator, self._duty)
        ]


def publish_checks(store: Store, bus: Bus, clock: Clock, limit: int = 200) -> int:
    """Ask the function `alerts` to look after the accounts whose time has come; return how many. For the sweep."""
    due = store.query(COLLECTION, [Where("due_at", "<=", clock.now())], ["due_at"], limit)
    names = (None if document.path.id == document_id(OPERATOR) else document.path.id for document in due)
    checks = [typed("alerts", AlertCheck(account=name)) for name in names]
    if checks:
        bus.publish(checks)
    return len(checks)


def notice_of(effect: Effect) -> Notice:
    """Return the notice of an effect of topic `notices`."""
    return validate(Notice, effect.body)


def notice_message(effect: Effect) -> Outgoing:
    """Return the message that has another instance deliver a notice."""
    attributes = {"effect_id": effect.id, "type": str(effect.body["type"])}
    return Outgoing("alerts", canonical(effect.body), attributes)


def name_of(account: str | None) -> str:
    """Return the name of an account's document."""
    return OPERATOR if account is None else account


def _quiet_row(alert: Alert, decision: Decision) -> Effect:
    """Return the row of an alert that is not told now; what is told leaves one when it is delivered."""
    event_id = digest("alert", decision.outcome, alert.alert_id)
    return alert_row(alert, decision.outcome, event_id, alert)


def _ack_row(account: str | None, taken: tuple[Standing, ...], who: str, now: datetime) -> Effect:
    ids = sorted(s.alert.alert_id for s in taken)
    row = audit_row(
        event_id=digest("acknowledged", account or "", who, *ids),
        scope=f"account:{account}" if account else "global",
        event="alerts_acknowledged",
        actor=who,
        reason="",
        at=now,
        detail={"alerts": [f"{s.alert.kind} {s.alert.object}" for s in taken][:100], "ids": ids[:100]},
    )
    return journal_effect(account or "", [row])
