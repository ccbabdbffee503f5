"""Finds the verb, runs it, and turns what went wrong into an exit code."""

from __future__ import annotations

import errno
import os
import sys
import tempfile
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from kilter.contracts.version import VERSION
from kilter.errors import KilterError, UnknownName
from kilter.faces.cli import errors, usage
from kilter.faces.cli.console import Console

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["VERBS", "main"]

VERBS = {
    "up": "start data plane, control plane and dashboard",
    "add": "register a model and write kilter.toml",
    "check": "run the gates on a model; the exit code is the answer",
    "plan": "show the difference between kilter.toml and the live state",
    "apply": "carry kilter.toml or a saved plan out",
    "predict": "send rows through the deployed model",
    "feedback": "attach late labels to predictions",
    "status": "say what is served, how it is doing and what to do",
    "explain": "say why: a prediction, alert, gate run, rollout or decision",
    "retrain": "recalibrate or train afresh, then check",
    "promote": "give a rollout's candidate all traffic now",
    "rollback": "go back to the last good version now",
    "export": "write or verify the audit log; write the settings schema",
    "doctor": "diagnose this machine and project",
    "demo": "watch the whole loop on real data",
}
"""Every verb and its one line of help; the verb's module is imported when it is used."""

_OUTPUT_FAULTS = {errno.EPIPE, errno.ENOSPC, errno.EIO}


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
        if args[0] not in VERBS and not args[0].startswith("-"):
            noun = "verb"
            raise UnknownName.among(noun, args[0], VERBS)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs without importing any."""
        del ctx
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


def _version(ctx: click.Context, _parameter: click.Parameter, is_asked: bool) -> None:  # noqa: FBT001 - click's call
    """Print the version and stop."""
    if is_asked:
        click.echo(f"kilter {VERSION}")
        ctx.exit(0)


@click.command(
    cls=_Verbs,
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=False,
    invoke_without_command=True,
    subcommand_metavar="VERB [ARGS]...",
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Print the version."
)
@click.pass_context
def _kilter(ctx: click.Context) -> int:
    """Keep deployed machine-learning models in good working order.

    Every verb takes --json, -q, -v, --yes, --no-color and --project DIR; `kilter VERB --help` lists
    the rest.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
    return errors.DONE


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
    words = usage.verb_first(list(sys.argv[1:] if arguments is None else arguments), VERBS)
    verb = words[0] if words and words[0] in VERBS else "kilter"
    console = Console(verb=verb, is_json="--json" in words, is_quiet="-q" in words or "--quiet" in words)
    try:
        code = _answer(words, console)
        sys.stdout.flush()
    except OSError as error:
        # the reader has gone (`| head`), or the disk behind `> FILE` is full: what is left would fail at exit again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = errors.DONE if isinstance(error, BrokenPipeError) else errors.COULD_NOT
        if code:
            click.echo(f"error: standard output cannot be written: {error.strerror}\nfix:   make room", err=True)
    sys.exit(code)


def _answer(words: list[str], console: Console) -> int:
    """Run, and tell what went wrong."""
    is_tracing = {"-v", "--verbose"} & set(words) or os.environ.get("KILTER_DEBUG") == "1"
    try:
        return _run(words, console)
    except KilterError as error:
        if is_tracing:
            traceback.print_exc()
        console.fail(error)
        return errors.exit_code(error)
    except click.ClickException as error:
        console.fail(usage.told(error))
        return errors.USAGE
    except (click.Abort, KeyboardInterrupt):
        console.interrupted()
        return errors.INTERRUPTED
    except OSError as error:
        if error.filename is None and error.errno in _OUTPUT_FAULTS:
            raise
        return _failed(error, console, is_tracing=bool(is_tracing))
    except Exception as error:  # noqa: BLE001 - face top: a fault of kilter's own is reported, never dumped on the user
        return _failed(error, console, is_tracing=bool(is_tracing))


def _failed(error: Exception, console: Console, *, is_tracing: bool) -> int:
    """Tell a fault of kilter's own."""
    if is_tracing:
        traceback.print_exc()
    console.fail(_fault(error))
    return errors.COULD_NOT


def _run(words: list[str], console: Console) -> int:
    """Run the verb."""
    try:
        with _kilter.make_context("kilter", words, obj=console) as context:
            result = _kilter.invoke(context)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    return result if isinstance(result, int) else errors.DONE


def _fault(error: Exception) -> KilterError:
    """Word a fault of kilter's own, and keep the full report where the user can find it."""
    hint = "run it again with `-v` and report what it prints"
    try:
        with tempfile.NamedTemporaryFile("w", prefix="kilter-error-", suffix=".txt", delete=False) as report:
            report.write(f"kilter {VERSION}\n{traceback.format_exc()}")
            hint = f"report it with the file {Path(report.name)}"
    except OSError:
        pass  # no room for a report either: the four lines are what is left
    first = str(error).splitlines()[0] if str(error) else "no message"
    return KilterError(f"kilter failed: {type(error).__name__}: {first}", why="this is a fault of kilter", hint=hint)
