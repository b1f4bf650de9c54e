"""Scopes: what a trading state applies to, as text and in parts.

global                     everything
account:NAME               one account
strategy:ACCOUNT:NAME      one strategy of an account
underlying:ACCOUNT:SYMBOL  one underlying of an account
"""

import re
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator

from stopline.model.ids import Name, is_symbol

GLOBAL = "global"
_GRAMMAR = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:#@&+=~-]{0,159}")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


class Scope(NamedTuple):
    """A scope in its parts. `account` is empty for the whole, `name` for the whole and for an account."""

    kind: Literal["global", "account", "strategy", "underlying"]
    account: str = ""
    name: str = ""

    def __str__(self) -> str:
        return ":".join(part for part in self if part)

    @property
    def document(self) -> str:
        """The control document that holds it: a strategy and an underlying are parts of their account's, so that one
        writer, one epoch and one chain order all that happens to an account.
        """
        return account_scope(self.account) if self.account else GLOBAL

    @property
    def is_part(self) -> bool:
        return bool(self.name)

    def crosses(self, other: "Scope") -> bool:
        """Tell whether something of its account may belong to both."""
        return not self.is_part or self.kind != other.kind or self.name == other.name

    def covers(self, strategy: str, underlying: str) -> bool:
        """Tell whether a position of its account belongs to it: one of that strategy or underlying, or any."""
        if self.kind == "strategy":
            return strategy == self.name
        return self.kind != "underlying" or underlying == self.name


def parse_scope(text: str) -> Scope | None:
    """Return the parts of a scope, or None for text that is none."""
    kind, _, rest = text.partition(":")
    account, _, name = rest.partition(":")
    if text == GLOBAL:
        return Scope("global")
    if not _NAME.fullmatch(account):
        return None
    if kind == "account" and rest == account:
        return Scope("account", account)
    if kind == "strategy" and _NAME.fullmatch(name):
        return Scope("strategy", account, name)
    if kind == "underlying" and is_symbol(name):
        return Scope("underlying", account, name)
    return None


def scope_of(text: str) -> Scope:
    """Return the parts of a scope that is known to be one."""
    scope = parse_scope(text)
    if scope is None:
        raise ValueError(f"{text!r} is no scope")
    return scope


def has_document(text: str) -> bool:
    """Tell whether text is the scope of a control document: the whole's or an account's."""
    scope = parse_scope(text)
    return scope is not None and scope.document == text


def account_scope(account: Name) -> str:
    """Return the scope of one account."""
    return f"account:{account}"


def strategy_scope(account: str, strategy: str) -> str:
    """Return the scope of one strategy of an account."""
    return f"strategy:{account}:{strategy}"


def underlying_scope(account: str, underlying: str) -> str:
    """Return the scope of one underlying of an account."""
    return f"underlying:{account}:{underlying}"


def scope_account(scope: str) -> str:
    """Return the account that a scope is of, or in; empty for the whole and for text that is no scope."""
    parsed = parse_scope(scope)
    return parsed.account if parsed else ""


def _scope_text(value: Any) -> str:
    if not isinstance(value, str) or not _GRAMMAR.fullmatch(value):
        raise ValueError(f'must be a scope such as "account:demo", was {str(value)[:40]!r}')
    return value


# Text of the right letters: whether it names a scope is for whoever knows the accounts to say.
ScopeText = Annotated[str, BeforeValidator(_scope_text)]
