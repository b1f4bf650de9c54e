"""What a caller may do with an account: rights of the deployment, and those that the account's own document grants."""

from collections.abc import Iterable

from stopline.model.account import Account
from stopline.model.errors import Transient, Unreadable
from stopline.model.rights import gives
from stopline.model.scopes import scope_account
from stopline.runtime.auth import Forbidden, Guest, NotAdmitted, Principal, Right
from stopline.service.accounts.reader import AccountReader


class Access:
    """One caller's rights. Whoever has none on an account cannot tell whether there is one of that name."""

    def __init__(self, principal: Principal, accounts: AccountReader) -> None:
        self.principal = principal
        self._accounts = accounts

    def may(self, right: Right, scope: str) -> bool:
        """Tell whether the caller has a right on a scope. Raises Transient where that hangs on a document that cannot be
        read and was never read.
        """
        return self.principal.may(right, scope) or self._is_granted((right,), scope)

    def may_any(self, rights: Iterable[Right], scope: str) -> bool:
        """Tell whether the caller has one of several rights on a scope."""
        return any(self.may(right, scope) for right in rights)

    def unknown(self, what: str, scope: str) -> Forbidden:
        """Return the refusal of a scope that does not exist for this caller: one answer, whatever the reason."""
        if isinstance(self.principal, Guest):
            return NotAdmitted("this identity may do nothing here", scope)
        return Forbidden(f"there is no such {what}, or it is not yours", scope)

    def _is_granted(self, rights: Iterable[Right], scope: str) -> bool:
        """Tell whether the account's document grants one of the rights; where it cannot be read, whether it did when it was
        last read here: an outage takes nobody's kill away. Raises Transient where that says nothing, but for a damaged one.
        """
        name = scope_account(scope)
        if not name:
            return False
        try:
            return self._grants(self._accounts.get(name), rights)
        except (
            Unreadable
        ):  # that there are settings, and damaged ones, is told to nobody whose they are not known to be
            return self._grants(self._accounts.last_known(name), rights)
        except Transient:
            if self._grants(self._accounts.last_known(name), rights):
                return True
            raise

    def _grants(self, account: Account | None, rights: Iterable[Right]) -> bool:
        granted = account.grants.get(self.principal.name, ()) if account else ()
        return any(gives(granted, right) for right in rights)
