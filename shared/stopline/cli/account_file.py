"""Account settings as people write them: a YAML file, flags, or both."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from stopline.model.account import Account, check_capital
from stopline.model.errors import Rejected
from stopline.model.wire import describe
from stopline.rules.exits.faults import check_exits
from stopline.rules.limits.registry import check_overrides
from stopline.rules.reduction.watch import check_reductions
from stopline.rules.trading.breakers import check_settings

MAX_BYTES = 64 * 1024
MAX_DEPTH = 16
_OFF = ("off", "none")


def _fault(problem: str, mark: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


class _Loader(yaml.SafeLoader):
    """SafeLoader that keeps numbers and times as they are written: money never passes through a double.

    It refuses a key twice, and aliases, which let a small file grow without end.
    """

    depth = 0

    def line_mark(self) -> Any:
        return self.peek_event().start_mark  # type: ignore[no-untyped-call]

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise _fault("aliases (*name) are not taken", self.line_mark())
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise _fault("is nested too deep", self.line_mark())
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise _fault(f"{key.value!r} is there twice", key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.endswith((":bool", ":null"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_account_file(path: Path) -> dict[str, Any]:
    """Return the settings of a YAML file as the model takes them. Raises Rejected with file and line."""
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as problem:
        raise Rejected("BAD_FILE", f"{path}: cannot be read: {problem.strerror}") from None
    if len(raw) > MAX_BYTES:
        raise Rejected("BAD_FILE", f"{path}: has more than {MAX_BYTES} bytes")
    try:
        value = yaml.load(raw, Loader=_Loader)  # noqa: S506 - a SafeLoader  # nosec B506
    except yaml.MarkedYAMLError as problem:
        line = problem.problem_mark.line + 1 if problem.problem_mark else 1
        raise Rejected("BAD_FILE", f"{path} line {line}: {problem.problem}") from None
    except (yaml.YAMLError, ValueError, TypeError) as problem:
        raise Rejected("BAD_FILE", f"{path}: is not YAML: {problem}") from None
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise Rejected("BAD_FILE", f"{path}: must hold `name: value` lines")
    limits = value.get("limits")
    if isinstance(limits, dict):
        value["limits"] = {str(name): override(setting) for name, setting in limits.items()}
    return value


def make_account(facts: Mapping[str, Any], where: str = "account") -> Account:
    """Return the account of some settings, checked whole. Raises Rejected that names the field."""
    try:
        account = Account.model_validate(dict(facts))
    except ValidationError as problem:
        raise Rejected("BAD_ACCOUNT", f"{where}: {describe(problem)}") from None
    check_capital(account)
    faults = [*check_overrides(account), *check_exits(account), *check_settings(account.trading)]
    faults += check_reductions(account)
    if faults:
        raise Rejected("BAD_ACCOUNT", f"{where}: {'; '.join(faults)}")
    return account


def read_limits(texts: Sequence[str]) -> dict[str, Any]:
    """Read `name=number` and `name=off`. Raises Rejected."""
    limits: dict[str, Any] = {}
    for text in texts:
        name, equals, number = text.partition("=")
        if not equals or not re.fullmatch(r"[a-z0-9_]+", name):
            raise Rejected("BAD_LIMIT", f"--limit takes name=number or name=off, was {text[:60]!r}")
        limits[name] = override(number)
    return limits


def override(setting: Any) -> Any:
    """Take `2.5` and `off` for a limit, beside the model's own `{limit: 2.5, enabled: true}`."""
    if setting is False or (isinstance(setting, str) and setting.lower() in _OFF):
        return {"enabled": False}
    return {"limit": setting} if isinstance(setting, str) else setting
