"""`stopline simulate`: play seeded schedules, or one seed with its trace."""

import json
import logging
import sys

import click

from emulators.simulator.focus import FOCUSES
from emulators.simulator.run import run_many, run_seed


@click.command()
@click.option("--seeds", type=click.IntRange(1), default=1000, show_default=True, help="How many schedules.")
@click.option("--first", type=click.IntRange(0), default=0, show_default=True, help="The first seed.")
@click.option("--seed", type=click.IntRange(0), help="Play this one seed and show its trace.")
@click.option(
    "--focus",
    type=click.Choice(sorted(set(FOCUSES))),
    help="What all schedules are about; each seed's own unless told.",
)
@click.option("--processes", type=click.IntRange(1), help="Processes; one a core unless told.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
def simulate(
    seeds: int, first: int, seed: int | None, focus: str | None, processes: int | None, as_json: bool
) -> None:
    """Play the real use cases through faults: duplicates, disorder, crashes, ambiguous commits, outages.

    Exit code 1 when an invariant breaks; each failing seed prints the line that replays it.
    """
    logging.disable(logging.CRITICAL)  # a schedule logs its injected faults by the thousand
    if seed is not None:
        _show(seed, focus)
        return
    outcome = run_many(first, seeds, processes, focus)
    if as_json:
        failures = [{"seed": f.seed, "focus": f.focus, "error": f.error} for f in outcome.failures]
        facts = {"schedules": outcome.schedules, "steps": outcome.steps, "failures": failures}
        click.echo(json.dumps({**facts, "seconds": round(outcome.seconds, 1), "focuses": outcome.focuses}))
    else:
        rate = outcome.schedules / max(outcome.seconds, 0.001)
        click.echo(f"{outcome.schedules} schedules, {outcome.steps} steps, {rate:.0f} schedules a second")
        for failure in outcome.failures:
            click.echo(f"{failure.replay}   # {failure.focus}: {failure.error[:300]}")
        click.echo("every invariant held" if not outcome.failures else "an invariant broke")
    sys.exit(1 if outcome.failures else 0)


def _show(seed: int, focus: str | None) -> None:
    scenario, failure = run_seed(seed, focus)
    for line in scenario.world.lines():
        click.echo(line)
    click.echo(f"seed {seed}, {scenario.focus}, {scenario.world.faults}")
    click.echo(f"broken: {failure.error}" if failure else "every invariant held")
    sys.exit(1 if failure else 0)
