"""Finds the verb, runs it, and turns what went wrong into an exit code."""

from __future__ import annotations

import os
import sys
import traceback
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from kilter import __version__
from kilter.errors import KilterError
from kilter.faces.cli import errors
from kilter.faces.cli.console import Console

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["VERBS", "main"]

VERBS = {
    "up": "start data plane, control plane and dashboard",
    "add": "register a model and write kilter.toml",
    "check": "run the gates on a model, a data file or kilter.toml",
    "plan": "show the difference between kilter.toml and the live state",
    "apply": "carry kilter.toml or a saved plan out",
    "predict": "send rows through the deployed model",
    "feedback": "attach late labels to predictions",
    "status": "say what is served, how it is doing and what to do",
    "explain": "say why: a prediction, alert, gate result or rollout",
    "retrain": "recalibrate or train afresh, then check",
    "promote": "move a rollout to its next step",
    "rollback": "go back to the last good version now",
    "export": "write the audit log or the settings schema",
    "doctor": "diagnose this machine and project",
    "demo": "watch the whole loop on real data",
}
"""Every verb and its one line of help; the verb's module is imported when it is used."""


class _Verbs(click.Group):
    """A group whose commands live in one module each."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in the order in which they are used."""
        del ctx
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of one verb."""
        del ctx
        if cmd_name not in VERBS:
            return None
        from kilter.plugins import load

        command = load("faces.cli", cmd_name).command
        if not isinstance(command, click.Command):
            message = f"kilter.faces.cli.{cmd_name}.command is no click command"
            raise TypeError(message)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb; a wrong one gets the nearest right one."""
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            near = get_close_matches(args[0], VERBS, n=2)
            hint = " or ".join(f"`kilter {name}`" for name in near) if near else "`kilter --help`"
            message = f"unknown verb `{args[0]}`; try {hint}"
            raise click.UsageError(message, ctx=ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs without importing any."""
        del ctx
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


def _version(ctx: click.Context, _parameter: click.Parameter, is_asked: bool) -> None:  # noqa: FBT001 - click's call
    """Print the version and stop."""
    if is_asked:
        click.echo(f"kilter {__version__}")
        ctx.exit(0)


@click.command(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]}, no_args_is_help=True)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Print the version."
)
def _kilter() -> None:
    """Keep deployed machine-learning models in good working order.

    Every verb takes --json, -q, -v, --yes and --project DIR.
    """


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave with its exit code.

    Parameters
    ----------
    arguments : sequence of str or None
        Words after ``kilter``; None takes them from the process.

    Raises
    ------
    SystemExit
        Always, with the exit code of ``interface.md``: 0 done, 1 the answer is no, 2 usage, 3 could
        not find out, 4 a person is needed, 130 interrupted.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(_run(words))


def _run(words: list[str]) -> int:
    """Run and return the exit code."""
    console = Console(verb=next((word for word in words if word in VERBS), "kilter"), is_json="--json" in words)
    try:
        result = _kilter.main(args=words, prog_name="kilter", standalone_mode=False)
        sys.stdout.flush()
    except KilterError as error:
        console.fail(error)
        _trace(words)
        return errors.exit_code(error)
    except click.ClickException as error:
        click.echo(f"error: {error.format_message()}", err=True)
        if isinstance(error, click.UsageError) and error.ctx is not None:
            click.echo(f"fix:   `{error.ctx.command_path} --help` shows how to call it", err=True)
        return errors.USAGE
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return errors.INTERRUPTED
    except BrokenPipeError:
        # the reader has gone (`| head`): nothing to say, and nowhere to say it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return errors.DONE
    except Exception as error:  # noqa: BLE001 - face top: a fault of kilter's own is reported, never dumped on the user
        click.echo(f"error: kilter failed: {type(error).__name__}: {error}", err=True)
        click.echo(f"fix:   report it with the file {_saved_report()}", err=True)
        _trace(words)
        return errors.COULD_NOT
    return result if isinstance(result, int) else errors.DONE


def _trace(words: list[str]) -> None:
    """Print the traceback for those who asked for it."""
    if "-v" in words or os.environ.get("KILTER_DEBUG") == "1":
        traceback.print_exc()


def _saved_report() -> Path:
    """Save the full traceback where the user can find it."""
    import tempfile

    with tempfile.NamedTemporaryFile("w", prefix="kilter-error-", suffix=".txt", delete=False) as report:
        report.write(f"kilter {__version__}\n{traceback.format_exc()}")
        return Path(report.name)
