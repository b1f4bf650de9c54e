"""Who is calling, and what they may do. Without a configured principal nobody may do anything."""

import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping

from pydantic import field_validator

from stopline.model.errors import Rejected, StoplineError
from stopline.model.ids import Id
from stopline.model.rights import Right as Right
from stopline.model.rights import gives
from stopline.model.scopes import scope_account
from stopline.model.wire import Message, validate


class Unauthenticated(StoplineError):
    """The caller did not prove who they are."""


class Forbidden(StoplineError):
    """The caller is known and may not do this; for an account they may not see this looks like an unknown
    one. `scope`: what it was asked of, for the log.
    """

    def __init__(self, detail: str, scope: str = "") -> None:
        super().__init__(detail)
        self.scope = scope


class Missing(Forbidden):
    """The caller has some right here, and not this one."""

    def __init__(self, rights: Iterable[Right], scope: str = "") -> None:
        super().__init__(f"this needs the right {' or '.join(rights)}", scope)


class NotAdmitted(Forbidden):
    """The caller proved who they are, and that is nobody who may do anything here."""


class Principal(Message):
    """A caller: the rights they have, on which accounts (`*`: all, and the global scope; none where nothing is said).
    `person`: who it is, where one person comes by several names: an e-mail address. Two people are two of these.
    """

    name: Id
    person: Id | None = None
    rights: tuple[Right, ...] = ()
    accounts: tuple[str, ...] = ()

    @field_validator("name", "person")
    @classmethod
    def _is_nobody_of_ours(cls, value: str | None) -> str | None:
        """Whoever is called as a limit or breaker acts as one: what ends their stops is another rule."""
        if value is not None and value.casefold().startswith(("limit:", "breaker:")):
            raise ValueError("must not begin with limit: or breaker:")
        return value

    @property
    def who(self) -> str:
        """The person, where that is known, else the name."""
        return self.person or self.name

    def may(self, right: Right, scope: str) -> bool:
        """Tell whether the caller has a right on a scope; on a strategy or underlying as on its account."""
        if not gives(self.rights, right):
            return False
        return "*" in self.accounts or scope_account(scope) in self.accounts


class Guest(Principal):
    """Somebody whose identity is proven, by their e-mail address, and whom the deployment does not name: they have what
    accounts grant to that address, and nothing else.
    """


EmailOf = Callable[[str], str]
"""The verified e-mail address of an identity token: see identity."""

DevOf = Callable[[str], Principal]
"""Whom a development token is for: see dev_tokens."""


def authenticate(
    header: str,
    principals: Mapping[str, object],
    email_of: EmailOf | None = None,
    dev_of: DevOf | None = None,
) -> Principal:
    """Return who an `Authorization: Bearer TOKEN` header is from: a token of ours, kept as SHA-256 only and compared in
    constant time; with `email_of` an identity token, whose address is a principal's key, else a guest's; with `dev_of` a
    development token. Raises Unauthenticated, and NotAdmitted for an identity that can be nobody here.
    """
    scheme, _, token = header.partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated("an Authorization: Bearer header is needed")
    hashed = hashlib.sha256(token.encode()).hexdigest()
    found: object = None
    for known, principal in principals.items():
        if hmac.compare_digest(known.encode(), hashed.encode()):
            found = principal
    if found is None and email_of is not None and token.count(".") == 2 and not token.startswith("dev."):
        email = email_of(token)
        named = principals.get(email)
        if named is None:
            return _guest(email)
        caller = validate(Principal, named)
        return caller if caller.person else caller.model_copy(update={"person": email})
    if found is None and dev_of is not None and token.startswith("dev."):
        return dev_of(token)
    if found is None:
        raise Unauthenticated("the token is not known")
    return validate(Principal, found)


def _guest(email: str) -> Guest:
    try:
        return validate(Guest, {"name": email})
    except Rejected:
        raise NotAdmitted("this identity may do nothing here") from None
