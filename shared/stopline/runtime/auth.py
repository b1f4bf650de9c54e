"""Who is calling, and what they may do. Without a configured principal nobody may do anything."""

import hashlib
import hmac
from collections.abc import Mapping
from typing import Literal

from stopline.model.errors import StoplineError
from stopline.model.ids import Id
from stopline.model.scopes import scope_account
from stopline.model.wire import Message, validate

Right = Literal["view", "trade", "risk", "kill", "resume", "admin"]


class Unauthenticated(StoplineError):
    """The caller did not prove who they are."""


class Forbidden(StoplineError):
    """The caller is known and may not do this; for an account they may not see this looks like an unknown
    one.
    """


class Principal(Message):
    """A caller: the rights they have, on which accounts (`*`: all, and the global scope)."""

    name: Id
    rights: tuple[Right, ...]
    accounts: tuple[str, ...] = ("*",)

    def may(self, right: Right, scope: str) -> bool:
        """Tell whether the caller has a right on a scope; on a strategy or underlying as on its account."""
        if right not in self.rights and "admin" not in self.rights:
            return False
        return "*" in self.accounts or scope_account(scope) in self.accounts


def authenticate(header: str, principals: Mapping[str, object]) -> Principal:
    """Return who an `Authorization: Bearer TOKEN` header is from. Tokens are kept as SHA-256 only, compared
    in constant time.
    """
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated("an Authorization: Bearer header is needed")
    hashed = hashlib.sha256(token.strip().encode()).hexdigest()
    found: object = None
    for known, principal in principals.items():
        if hmac.compare_digest(known, hashed):
            found = principal
    if found is None:
        raise Unauthenticated("the token is not known")
    return validate(Principal, found)
