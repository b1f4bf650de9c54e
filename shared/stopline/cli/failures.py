"""From any exception to one line for a person and an exit code."""

import click

from stopline.model.errors import Rejected, Transient


class Failure(click.ClickException):
    """The work failed."""

    exit_code = 1


class BadInput(click.ClickException):
    """What the user gave cannot be used."""

    exit_code = 2


def as_failure(problem: Exception) -> click.ClickException:
    """Return what to tell about a problem."""
    match problem:
        case click.UsageError():
            return BadInput(_usage(problem))
        case click.ClickException():
            return type(problem)(one_line(problem.message))
        case Rejected():
            return BadInput(one_line(problem.detail))
        case _ if (
            type(problem).__name__ == "ValidationError"
        ):  # not imported: `--help` answers without pydantic
            from stopline.model.wire import describe

            return BadInput(one_line(describe(problem)))  # type: ignore[arg-type]
        case UnicodeError():
            return BadInput(one_line(f"not text in UTF-8: {problem}"))
        case OSError() if problem.strerror:
            where = f"{problem.filename}: " if problem.filename else ""
            return Failure(one_line(where + problem.strerror))
        case Transient():
            return Failure(one_line(f"not done now, try again: {problem}"))
        case _ if type(problem).__name__ == "DefaultCredentialsError":
            return Failure(
                "no Google credentials: run `gcloud auth application-default login`, or set *_EMULATOR_HOST"
            )
    return Failure(one_line(f"{type(problem).__name__}: {problem} (STOPLINE_DEBUG=1 shows where)"))


def one_line(text: str) -> str:
    """Return text on one line, with everything unprintable as its escape."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in " ".join(text.split()))[:1000]


def _usage(problem: click.UsageError) -> str:
    hint = f" (see `{problem.ctx.command_path} --help`)" if problem.ctx else ""
    return one_line(problem.format_message()) + hint
