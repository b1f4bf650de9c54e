"""Alerts that nobody else comes back for: those that reached nobody, and those whose messages Pub/Sub gave up.

The sweep publishes them again. Several that were to go to the same people become one message first, in one commit: after
half an hour without any channel people get one digest, not all of it at once.
"""

import logging
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from stopline.model.account import Account
from stopline.model.errors import Rejected, Unreadable
from stopline.model.ids import document_id
from stopline.model.notices import Notice
from stopline.model.settings.operator import OperatorAlerts
from stopline.ports import (
    AlreadyExists,
    Bus,
    Clock,
    Conflict,
    Create,
    Document,
    Path,
    Store,
    Update,
    Where,
)
from stopline.rules.alerting.audience import USUAL, routed
from stopline.rules.alerting.delivery import AlertRecord
from stopline.rules.alerting.incidents import Incidents
from stopline.rules.alerting.recovery import became, caught_up
from stopline.service.accounts.reader import AccountReader
from stopline.service.alerting.desk import COLLECTION as INCIDENTS
from stopline.service.alerting.desk import IncidentCodec, name_of
from stopline.service.alerting.dispatch_alert import RETRY_UNDELIVERED, fresh_fields
from stopline.service.alerting.records import COLLECTION, AlertStatus, decode_record
from stopline.service.documents.aggregate import DAMAGED
from stopline.service.documents.outbox import typed

TOGETHER = 100  # in one commit
log = logging.getLogger("stopline")

_Group = tuple[str | None, int, tuple[int, ...]]


def republish_due(
    store: Store,
    bus: Bus,
    clock: Clock,
    accounts: AccountReader | None = None,
    limit: int = 200,
    duty: OperatorAlerts = USUAL,
    failed: dict[str, str] | None = None,
) -> int:
    """Publish again what is due, the longest due first; return how many messages. It needs no channel.

    Where one that reached nobody is due, all others of the same people come with it. What cannot be read is noted in
    `failed`, by account (empty: the operator's), and keeps nothing else from going out.
    """
    failed = {} if failed is None else failed
    now, accounts = clock.now(), accounts or AccountReader(store, clock)
    where = [Where("due_at", "<=", now + RETRY_UNDELIVERED)]
    groups: dict[_Group | str, list[tuple[Document, AlertRecord]]] = defaultdict(list)
    for document in store.query(COLLECTION, where, ["due_at"], limit):
        try:
            record = decode_record(document)
        except DAMAGED as problem:
            _note(failed, document, problem)
            continue
        unheard = document.data.get("status") == AlertStatus.UNDELIVERED
        groups[_people(record, accounts, duty) if unheard else document.path.id].append((document, record))
    notices = []
    for group in groups.values():
        if all(document.data["due_at"] > now for document, _ in group):
            continue
        for start in range(0, len(group), TOGETHER):
            try:
                notices.append(_one(store, now, accounts, duty, group[start : start + TOGETHER]))
            except DAMAGED as problem:  # what stands for its account cannot be read
                _note(failed, group[start][0], problem)
    messages = [typed("alerts", notice) for notice in notices if notice]
    if messages:
        bus.publish(messages)
    return len(messages)


def _note(failed: dict[str, str], document: Document, problem: Exception) -> None:
    log.exception("an alert cannot be told again", extra={"document": str(document.path)})
    account = document.data.get("account")
    failed[account if isinstance(account, str) else ""] = f"{document.path}: {problem!r}"[:500]


def _people(record: AlertRecord, accounts: AccountReader, duty: OperatorAlerts) -> _Group:
    """Return what alerts for the same people have in common: account, stage (behind the last person of an escalation is
    the operator) and routes.
    """
    account = _known(accounts, record.alert.account)
    settings, zone = (account.alerting, account.time_zone) if account else (duty, duty.time_zone)
    stage = min(record.stage, len(settings.escalate_to) + 1)
    places = () if stage else tuple(sorted(routed(record.notice(), settings, zone)))
    return record.alert.account, stage, places


def _one(
    store: Store,
    now: datetime,
    accounts: AccountReader,
    duty: OperatorAlerts,
    group: Sequence[tuple[Document, AlertRecord]],
) -> Notice | None:
    """Return the notice for a group: its own where it is alone and as it was, else one that stands for all of them from now
    on.
    """
    first, incidents = group[0][1], _incidents(store, group[0][1].alert.account)
    if len(group) == 1 and not became(first, incidents):
        return first.notice()
    account = _known(accounts, first.alert.account)
    zone = account.time_zone if account else duty.time_zone
    notice = caught_up([record for _, record in group], zone, now, incidents)
    path = Path(COLLECTION, document_id(notice.alert.alert_id))
    settled = {"due_at": None, "told_by": notice.alert.alert_id}
    updates = [Update(document.path, settled, document.version) for document, _ in group]
    fields = {**fresh_fields(notice, now), "lease_until": None, "due_at": now}
    try:
        store.commit([Create(path, fields), *updates])
    except (AlreadyExists, Conflict):
        return None  # another sweep was here, or one of them is being told: the next round looks again
    return notice


def _incidents(store: Store, account: str | None) -> Incidents:
    document = store.get(Path(INCIDENTS, document_id(name_of(account))))
    return IncidentCodec().decode(document.data) if document else Incidents(account=account)


def _known(accounts: AccountReader, name: str | None) -> Account | None:
    try:
        return accounts.get(name) if name else None
    except (Rejected, Unreadable):
        return None
