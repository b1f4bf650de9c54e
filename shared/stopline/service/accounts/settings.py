"""Settings of an account over the API: read without secrets, changed by a merge patch at the version that was seen."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from stopline.model.account import Account
from stopline.model.decimals import decimal_text
from stopline.model.errors import Rejected
from stopline.model.wire import Message, content_hash, validate
from stopline.rules.exits.faults import check_exits
from stopline.rules.limits.loosening import loosened, raised
from stopline.rules.limits.registry import LIMITS, check_overrides, in_force
from stopline.rules.trading.breakers import check_settings
from stopline.service.accounts.approvals import Approvals
from stopline.service.accounts.reader import AccountReader
from stopline.service.accounts.writer import AccountWriter

# Whose it is, what it is booked by, and who is told, are not changed here.
FIXED = frozenset(
    {
        "account",
        "owner",
        "currency",
        "calendar",
        "time_zone",
        "capital",
        "method",
        "brokers",
        "recipients",
        "grants",
        "version",
    }
)


class SettingsPatch(Message):
    """A merge patch (RFC 7396): what is named is set, null takes a setting back to its default. Refused unless the
    account is still at `expected_version`.
    """

    expected_version: int = Field(ge=1)
    settings: dict[str, Any] = Field(min_length=1)


def settings_facts(account: Account) -> dict[str, Any]:
    """Return an account's settings, and every limit that is in force, as plain data; of people their names, not how they
    are reached: who may look at an account need not know its owner's telephone.
    """
    hidden: dict[str, Any] = dict.fromkeys(FIXED, True)
    hidden["alerting"] = {"people": {"__all__": {"recipients"}}}
    facts = account.model_dump(mode="json", exclude=hidden)
    return {
        "account": account.account,
        "version": account.version,
        "settings": facts,
        "limits_in_force": [
            {
                "limit": limit.name,
                "threshold": decimal_text(threshold),
                "unit": limit.unit.value,
                "scope": limit.scope.value,
                "action": (action or limit.action).value,
            }
            for limit, threshold, action in in_force(account)
        ],
        "limits_off": sorted(LIMITS.keys() - {limit.name for limit, _, _ in in_force(account)}),
    }


@dataclass(frozen=True, slots=True)
class Change:
    """The account as it is now. `waits_for`: what a second person must agree to; nothing was changed then."""

    account: Account
    waits_for: tuple[str, ...] = ()


class _Waits(Exception):
    def __init__(self, change: Change) -> None:
        self.change = change


class AccountSettings:
    """Changes settings; each change is a version with an audit row. `people`: how many must agree to what loosens much."""

    def __init__(
        self, reader: AccountReader, writer: AccountWriter, approvals: Approvals, people: int = 2
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._approvals = approvals
        self._people = people

    def change(self, name: str, patch: SettingsPatch, actor: str, person: str = "") -> Change:
        """Apply a patch. `person`: who the actor is, where one comes by several names. Raises Rejected STALE_VERSION,
        BAD_SETTINGS, SAME_PERSON, or BAD_MESSAGE that names the field, and Conflict where somebody else wrote meanwhile.
        """
        fixed = sorted(FIXED & patch.settings.keys())
        if fixed:
            raise Rejected("BAD_SETTINGS", f"{', '.join(fixed)}: not changed here")
        if "exits" in patch.settings:
            where = f"PATCH /v1/accounts/{name}/exits, which says what a change would close"
            raise Rejected("BAD_SETTINGS", f"exits: not changed here but by {where}")

        def edit(before: Account) -> Account:
            if before.version != patch.expected_version:
                raise Rejected(
                    "STALE_VERSION",
                    f"account {name} is at version {before.version}, the patch is for {patch.expected_version}",
                )
            merged = merge(before.model_dump(mode="json"), patch.settings)
            after = validate(Account, merged)
            faults = [*check_overrides(after), *check_settings(after.trading), *check_exits(after)]
            if faults:
                raise Rejected("BAD_SETTINGS", "; ".join(faults)[:800])
            self._agree(before, after, patch, actor, person)
            return after

        try:
            changed = self._writer.change(name, edit, actor)
        except _Waits as waits:
            return waits.change
        self._reader.forget(name)
        return Change(changed)

    def _agree(self, before: Account, after: Account, patch: SettingsPatch, actor: str, person: str) -> None:
        """Raise _Waits where a second person must agree, and has not yet."""
        name = before.account
        looser = loosened(before, after, self._approvals.base(name))
        if looser and self._people > 1:
            content = content_hash({"account": name, **patch.model_dump(mode="json")})
            if not self._approvals.agrees(name, content, actor, person):
                raise _Waits(Change(before, tuple(looser)))
        self._approvals.remember(name, raised(before, after))


def merge(before: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON object after a merge patch (RFC 7396)."""
    result = dict(before)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            known = result.get(key)
            result[key] = merge(known if isinstance(known, dict) else {}, value)
        else:
            result[key] = value
    return result
