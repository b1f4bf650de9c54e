"""After a whole run: every test that the catalogues of faults and bad input rest on was run, and passed (docs/proofs.py)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

import pytest
from docs.proofs import PROOFS

_outcomes: defaultdict[str, set[str]] = defaultdict(set)


def unproved(
    table: Mapping[str, Sequence[str]], outcomes: Mapping[str, Collection[str]]
) -> tuple[list[str], list[str]]:
    """Return the proofs that have not run and passed, and those that were skipped, each with its number. Of a test with
    parameters some must have passed, and none failed.
    """
    missing, skipped = [], []
    for number, tests in table.items():
        for test in tests:
            found = outcomes.get(f"tests/{test}", ())
            if "failed" in found or not found:
                missing.append(f"{number}: {test}")
            elif "passed" not in found:
                skipped.append(f"{number}: {test}")
    return missing, skipped


def is_whole(config: pytest.Config) -> bool:
    """Tell whether a run is of all tests: no paths, and nothing left out by name."""
    chosen = [config.option.keyword, config.option.markexpr, getattr(config.option, "deselect", None)]
    some = config.option.collectonly or getattr(config.option, "lf", False) or any(chosen)
    return config.args_source is pytest.Config.ArgsSource.TESTPATHS and not some


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" or report.outcome != "passed":
        _outcomes[report.nodeid.partition("[")[0]].add(report.outcome)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if hasattr(session.config, "workerinput") or exitstatus or not is_whole(session.config):
        return
    missing, skipped = unproved(PROOFS, _outcomes)
    reporter = session.config.pluginmanager.getplugin("terminalreporter")
    for line in skipped:
        reporter.write_line(f"not proved here, because it was skipped: {line}")
    for line in missing:
        reporter.write_line(f"not proved: {line} was not run", red=True)
    if missing:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
