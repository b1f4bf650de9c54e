"""Accounts: creating and changing them, each change a version with an audit row."""

from collections.abc import Callable

from stopline.model.account import Account, check_capital
from stopline.model.errors import Rejected
from stopline.model.ids import digest, document_id
from stopline.model.messages import Effect
from stopline.model.wire import canonical, validate
from stopline.ports import Clock, Create, Path, Store, Update
from stopline.rules.exits.faults import check_exits
from stopline.rules.reduction.watch import check_reductions
from stopline.service.accounts.reader import account_path, read_account
from stopline.service.audit.journal import journal_effect
from stopline.service.documents.outbox import Relay, decode_outbox, outbox_fields
from stopline.service.history.rows import audit_row


class AccountWriter:
    """Creates and changes accounts; every change is a version with an audit row."""

    def __init__(self, store: Store, relay: Relay, clock: Clock) -> None:
        self._store = store
        self._relay = relay
        self._clock = clock

    def create(self, account: Account, actor: str) -> Account:
        """Write a new account. Raises AlreadyExists when the name is taken."""
        check_capital(account)
        _check_closing(account)
        effects = self._audit(account, "account_created", actor)
        self._store.commit([Create(account_path(account.account), self._fields(account, effects))])
        self._relay.publish(effects)
        return account

    def change(self, name: str, edit: Callable[[Account], Account], actor: str) -> Account:
        """Write the next version of an account. Raises Conflict when somebody else changed it at the same
        time.
        """
        document = self._store.get(account_path(name))
        if document is None:
            raise Rejected("UNKNOWN_ACCOUNT", f"there is no account {name!r}")
        before = read_account(document)
        edited = edit(before).model_copy(update={"account": name, "version": before.version + 1})
        after = validate(Account, edited.model_dump(mode="json"))
        check_capital(after)
        _check_closing(after)
        self._check_method(before, after)
        due = self._relay.unpublished(decode_outbox(document.data))  # of an earlier change: not to be lost
        effects = (*due, *self._audit(after, "account_changed", actor))
        self._store.commit([Update(document.path, self._fields(after, effects), document.version)])
        self._relay.publish(effects)
        return after

    def _check_method(self, before: Account, after: Account) -> None:
        """Refuse another method once fills are booked: all realised P&L that was reported would change."""
        if before.method == after.method:
            return
        if self._store.get(Path("books", document_id(after.account))) is not None:
            raise Rejected(
                "METHOD_IN_USE",
                f"account {after.account} has fills booked by {before.method}: "
                f"open another account for {after.method}",
            )

    def _audit(self, account: Account, event: str, actor: str) -> tuple[Effect, ...]:
        detail = account.model_dump(mode="json")
        detail["recipients"] = account.recipients.without_secrets()
        for person, shown in zip(account.alerting.people, detail["alerting"]["people"], strict=True):
            shown["recipients"] = person.recipients.without_secrets()
        row = audit_row(
            event_id=digest(event, account.account, str(account.version), canonical(detail).decode()),
            scope=f"account:{account.account}",
            event=event,
            actor=actor,
            reason="",
            at=self._clock.now(),
            detail=detail,
        )
        return (journal_effect(account.account, [row]),)

    def _fields(self, account: Account, effects: tuple[Effect, ...]) -> dict[str, object]:
        return {
            "account": canonical(account.model_dump(mode="json")).decode(),
            "owner": account.owner,
            "version": account.version,
            "changed_at": self._clock.now(),
            **outbox_fields(effects, self._clock.now()),
        }


def _check_closing(account: Account) -> None:
    faults = check_exits(account)
    if faults:
        raise Rejected("BAD_EXITS", "; ".join(faults)[:800])
    faults = check_reductions(account)
    if faults:
        raise Rejected("BAD_REDUCTIONS", "; ".join(faults)[:800])
