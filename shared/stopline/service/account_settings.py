"""Settings of an account over the API: read without secrets, changed by a merge patch at the version that was seen."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from stopline.model.account import Account
from stopline.model.decimals import decimal_text
from stopline.model.errors import Rejected
from stopline.model.wire import Message, validate
from stopline.rules.limits import LIMITS, check_overrides, in_force
from stopline.service.accounts import AccountReader, AccountWriter

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
    """Return an account's settings, and every limit that is in force, as plain data."""
    facts = account.model_dump(mode="json", exclude=set(FIXED))
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


class AccountSettings:
    """Changes settings; each change is a version with an audit row."""

    def __init__(self, reader: AccountReader, writer: AccountWriter) -> None:
        self._reader = reader
        self._writer = writer

    def change(self, name: str, patch: SettingsPatch, actor: str) -> Account:
        """Apply a patch. Raises Rejected STALE_VERSION, BAD_SETTINGS, or BAD_MESSAGE that names the field, and
        Conflict when somebody else wrote at the same time.
        """
        fixed = sorted(FIXED & patch.settings.keys())
        if fixed:
            raise Rejected("BAD_SETTINGS", f"{', '.join(fixed)}: not changed here")

        def edit(before: Account) -> Account:
            if before.version != patch.expected_version:
                raise Rejected(
                    "STALE_VERSION",
                    f"account {name} is at version {before.version}, the patch is for {patch.expected_version}",
                )
            merged = merge(before.model_dump(mode="json"), patch.settings)
            after = validate(Account, merged)
            faults = check_overrides(after)
            if faults:
                raise Rejected("BAD_SETTINGS", "; ".join(faults))
            return after

        changed = self._writer.change(name, edit, actor)
        self._reader.forget(name)
        return changed


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
