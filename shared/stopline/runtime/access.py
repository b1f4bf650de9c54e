"""What a caller may do with an account: rights of the deployment, and those that the account's own document grants."""

from collections.abc import Iterable, Sequence

from stopline.model.account import Account
from stopline.model.errors import Transient, Unreadable
from stopline.model.rights import gives
from stopline.model.scopes import scope_account
from stopline.runtime.auth import Forbidden, Guest, NotAdmitted, Principal, Right
from stopline.service.accounts.reader import AccountReader


class Access:
    """One caller's rights, for one request. Whoever has none on an account cannot tell whether there is one of that name:
    not by the answer, and not by how long it takes.
    """

    def __init__(self, principal: Principal, accounts: AccountReader) -> None:
        self.principal = principal
        self._accounts = accounts
        self._granted: dict[str, Sequence[Right]] = {}  # by account, as it was read for this request

    def may(self, right: Right, scope: str) -> bool:
        """Tell whether the caller has a right on a scope. Raises Transient where that hangs on a document that cannot be
        read and was never read.
        """
        return self.principal.may(right, scope) or self._is_granted(right, scope_account(scope))

    def may_any(self, rights: Iterable[Right], scope: str) -> bool:
        """Tell whether the caller has one of several rights on a scope."""
        return any(self.may(right, scope) for right in rights)

    def unknown(self, what: str, scope: str) -> Forbidden:
        """Return the refusal of a scope that does not exist for this caller: one answer, whatever the reason."""
        if isinstance(self.principal, Guest):
            return NotAdmitted("this identity may do nothing here", scope)
        return Forbidden(f"there is no such {what}, or it is not yours", scope)

    def _is_granted(self, right: Right, account: str) -> bool:
        """Tell whether the account's document grants a right; where it cannot be read, whether it did when it was last read
        here: an outage takes nobody's kill away. Raises Transient where that says nothing, but for a damaged one.
        """
        if not account:
            return False
        if account not in self._granted:
            last = self._of(self._accounts.last_known(account))
            try:  # whoever is granted nothing waits for the store, as they do for an account that there is not
                found = self._of(self._accounts.get(account, fresh=not last))
            except (
                Unreadable
            ):  # that there are settings, and damaged ones, is told to nobody whose they are not known to be
                found = last
            except Transient:
                if gives(last, right):
                    return True
                raise
            self._granted[account] = found
        return gives(self._granted[account], right)

    def _of(self, account: Account | None) -> Sequence[Right]:
        return account.grants.get(self.principal.name, ()) if account else ()
