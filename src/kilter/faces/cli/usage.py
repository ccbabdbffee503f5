"""Words on the command line: the global flags in any place, and what is said of wrong ones."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

import click

from kilter.errors import InvalidRequest, UnknownName

if TYPE_CHECKING:
    from collections.abc import Container

    from kilter.errors import InputError

__all__ = ["told", "verb_first"]

_ALONE = {"--json", "-q", "--quiet", "-v", "--verbose", "--yes", "--no-color"}
_WITH_VALUE = {"--project"}
_MOST_NEAR = 2


def verb_first(words: list[str], verbs: Container[str]) -> list[str]:
    """Move global flags that stand before the verb behind it."""
    place = 0
    while place < len(words) and words[place].split("=")[0] in _ALONE | _WITH_VALUE:
        place += 2 if words[place] in _WITH_VALUE else 1
    if 0 < place < len(words) and words[place] in verbs:
        return [words[place], *words[:place], *words[place + 1 :]]
    return words


def told(error: click.ClickException) -> InputError:
    """Say a fault of usage in kilter's own form."""
    command = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx is not None else "kilter"
    see = f"see `{command} --help`"
    if isinstance(error, click.NoSuchOption):
        near = get_close_matches(error.option_name, _options(error.ctx), n=_MOST_NEAR)
        hint = "use " + " or ".join(f"`{name}`" for name in near) if near else see
        return UnknownName(f"unknown option `{error.option_name}`", hint=hint, details={"near": list(near)})
    if isinstance(error, click.MissingParameter) and error.param is not None:
        return _missing(error.param, command, see)
    if isinstance(error, click.BadParameter) and error.param is not None:
        return InvalidRequest(f"`{_name(error.param)}`: {_plain(error.message)}", hint=see)
    return InvalidRequest(_plain(error.format_message()), hint=see)


def _missing(parameter: click.Parameter, command: str, see: str) -> InvalidRequest:
    """Say what is missing and how to give it."""
    name = _name(parameter)
    if not isinstance(parameter, click.Option):
        return InvalidRequest(f"{name} is missing", hint=f"write `{command} {name}`; {see}")
    about = f": {parameter.help[0].lower()}{parameter.help[1:].rstrip('.')}" if parameter.help else ""
    return InvalidRequest(f"`{name}` is missing", hint=f"add `{name} {(parameter.name or '').upper()}`{about}")


def _options(context: click.Context | None) -> list[str]:
    """List the options of the verb that was called."""
    if context is None:
        return []
    return [name for parameter in context.command.params for name in parameter.opts if name.startswith("--")]


def _name(parameter: click.Parameter) -> str:
    """Return what a user calls a parameter."""
    if isinstance(parameter, click.Option):
        return max(parameter.opts, key=len)
    return parameter.make_metavar(click.Context(click.Command("kilter"))).strip("[].")


def _plain(message: str) -> str:
    """Take click's full stop and capital letter off."""
    text = message.rstrip(".")
    return text[:1].lower() + text[1:]
