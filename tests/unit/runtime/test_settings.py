"""Settings: checked once, refused by the name of the variable, secrets never shown."""

from __future__ import annotations

import hashlib
import json

import pytest

from stopline.model.errors import Rejected
from stopline.runtime.settings import read_settings

BASE = {"GOOGLE_CLOUD_PROJECT": "p"}
TOKEN = hashlib.sha256(b"ann-token").hexdigest()
ANN = {"name": "ann", "rights": ["kill"], "accounts": ["demo"]}


def test_only_the_project_is_needed() -> None:
    chosen = read_settings(BASE)
    assert (chosen.project, chosen.database, chosen.dataset, chosen.prefix) == (
        "p",
        "(default)",
        "stopline",
        "",
    )
    assert (chosen.log_level, chosen.smtp_port, chosen.smtp_starttls) == ("INFO", 587, True)
    assert chosen.principals == {}


def test_everything_can_be_set() -> None:
    """R8.2."""
    chosen = read_settings(
        {
            **BASE,
            "STOPLINE_DATABASE": "db",
            "STOPLINE_DATASET": "ds",
            "STOPLINE_PREFIX": "dev-",
            "STOPLINE_LOG_LEVEL": "DEBUG",
            "STOPLINE_CLOCK_FILE": "clock",
            "STOPLINE_OPERATOR": '{"email": ["desk@example.com"]}',
            "STOPLINE_PRINCIPALS": json.dumps({TOKEN: ANN}),
            "SMTP_PORT": "2525",
            "SMTP_STARTTLS": "0",
        }
    )
    assert (chosen.database, chosen.dataset, chosen.prefix, chosen.clock_file) == (
        "db",
        "ds",
        "dev-",
        "clock",
    )
    assert chosen.operator.email == ("desk@example.com",)
    assert list(chosen.principals) == [TOKEN]
    assert (chosen.smtp_port, chosen.smtp_starttls) == (2525, False)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GOOGLE_CLOUD_PROJECT", ""),
        ("SMTP_PORT", "smtp"),
        ("SMTP_PORT", "-1"),
        ("SMTP_PORT", "587.0"),
        ("SMTP_PORT", "99999"),
        ("SMTP_PORT", "٥٨٧"),
        ("STOPLINE_LOG_LEVEL", "LOUD"),
        ("STOPLINE_OPERATOR", "desk@example.com"),
        ("STOPLINE_OPERATOR", "[]"),
        ("STOPLINE_OPERATOR", '{"email": ["nobody"]}'),
        ("STOPLINE_OPERATOR", '{"telegram": ["x"]}'),
        ("STOPLINE_OPERATOR_ALERTS", '{"time_zone": "Mars"}'),
        ("STOPLINE_OPERATOR_ALERTS", '{"escalate_to": ["nobody"]}'),
        ("STOPLINE_OPERATOR_ALERTS", "[]"),
        ("STOPLINE_PRINCIPALS", "{oops"),
        ("STOPLINE_PRINCIPALS", "[]"),
        ("STOPLINE_PRINCIPALS", json.dumps({"ann-token": ANN})),  # the token itself, not its hash
        ("STOPLINE_PRINCIPALS", json.dumps({TOKEN.upper(): ANN})),
        ("STOPLINE_PRINCIPALS", json.dumps({"é" * 64: ANN})),
        ("STOPLINE_PRINCIPALS", json.dumps({TOKEN: {**ANN, "rights": ["root"]}})),
        ("STOPLINE_PRINCIPALS", json.dumps({TOKEN: "ann"})),
        ("STOPLINE_PRINCIPALS", f'{{"{TOKEN}": {json.dumps(ANN)}, "{TOKEN}": {json.dumps(ANN)}}}'),
    ],
)
def test_a_setting_that_cannot_be_is_refused_by_the_name_of_its_variable(name: str, value: str) -> None:
    """B65, B71, B72, R8.2: the first line of the log says what to repair, and shows no secret."""
    with pytest.raises(Rejected) as refused:
        read_settings({**BASE, name: value})
    assert refused.value.reason == "BAD_SETTING"
    assert refused.value.detail.startswith(name)
    assert "ann-token" not in refused.value.detail


def test_a_principal_whose_accounts_are_left_out_has_none_and_that_is_said_at_the_start(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """B65: fail closed, and loud: it was everything before."""
    facts = {
        TOKEN: {"name": "ann", "rights": ["kill"]},
        "bob@example.com": {**ANN, "name": "bob", "accounts": []},
    }
    read_settings({**BASE, "STOPLINE_PRINCIPALS": json.dumps(facts)})
    [said] = [r.getMessage() for r in caplog.records]
    assert said.startswith('STOPLINE_PRINCIPALS: ann names no "accounts", and may do nothing')
    assert TOKEN not in said


def test_one_name_of_two_persons_is_refused_and_two_ways_of_one_are_not() -> None:
    """F45: what two people must agree to is told apart by names, in the audit trail too."""
    both = {TOKEN: {**ANN, "name": "ann", "person": "ann@example.com"}}
    read_settings(
        {**BASE, "STOPLINE_PRINCIPALS": json.dumps({**both, "ann@example.com": {**ANN, "name": "ann"}})}
    )
    unsaid = {TOKEN: {**ANN, "name": "ann"}, "ann@example.com": {**ANN, "name": "ann"}}
    read_settings({**BASE, "STOPLINE_PRINCIPALS": json.dumps(unsaid)})
    with pytest.raises(Rejected, match="STOPLINE_PRINCIPALS: the name Ann is of two persons"):
        read_settings(
            {**BASE, "STOPLINE_PRINCIPALS": json.dumps({**both, "bob@example.com": {**ANN, "name": "Ann"}})}
        )


def test_secrets_are_not_shown() -> None:
    """B75."""
    chosen = read_settings(
        {
            **BASE,
            "TWILIO_AUTH_TOKEN": "hunter2",
            "SMTP_PASSWORD": "hunter3",
            "STOPLINE_PRINCIPALS": json.dumps({TOKEN: ANN}),
            "STOPLINE_OPERATOR": '{"discord": ["https://discord.com/api/webhooks/12345/abcdefghijkl"]}',
        }
    )
    shown = repr(chosen)
    for secret in ("hunter2", "hunter3", TOKEN, "abcdefghijkl"):
        assert secret not in shown
