"""A click command that has kilter's global flags and is given a session."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING

import click

from kilter.faces.cli.console import Console
from kilter.faces.cli.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["verb"]


_GLOBAL = ("is_json", "is_quiet", "is_verbose", "is_yes", "is_plain", "project")


def verb(name: str) -> Callable[[Callable[..., int]], click.Command]:
    """Return a decorator that makes a command of a function ``(session, *, ...) -> exit code``."""

    def decorate(function: Callable[..., int]) -> click.Command:
        @click.option("--json", "is_json", is_flag=True, help="Print one JSON object for programs.")
        @click.option("-q", "--quiet", "is_quiet", is_flag=True, help="Print the answer alone.")
        @click.option("-v", "--verbose", "is_verbose", is_flag=True, help="Print the traceback of an error.")
        @click.option("--yes", "is_yes", is_flag=True, help="Do not ask before a change.")
        @click.option("--no-color", "is_plain", is_flag=True, help="Print without colour.")
        @click.option(
            "--project",
            default=".",
            metavar="DIR",
            type=click.Path(file_okay=False, exists=True),
            help="Folder of kilter.toml; default this one.",
        )
        @wraps(function)
        def run(
            *,
            is_json: bool,
            is_quiet: bool,
            is_verbose: bool,
            is_yes: bool,
            is_plain: bool,
            project: str,
            **given: object,
        ) -> int:
            del is_verbose  # looked at where errors are told, which is outside of any verb
            console = click.get_current_context().ensure_object(Console)
            console.verb, console.is_json, console.is_quiet = name, is_json, is_quiet
            console.has_colour = console.has_colour and not is_plain
            session = Session(console, project=project, is_yes=is_yes)
            try:
                return function(session, **given)
            finally:
                session.close()

        command = click.command(name=name, context_settings={"help_option_names": ["-h", "--help"]})(run)
        command.params.sort(key=lambda parameter: parameter.name in _GLOBAL)  # the verb's own options come first
        return command

    return decorate
