"""Writes the reference pages from the program itself.

``python docs/generate.py`` rewrites them; with ``--check`` it changes nothing and exits with 1 if one is stale.
A page keeps its own prose: only what stands between ``<!-- generated: NAME -->`` and ``<!-- end -->`` is replaced.
"""
# ruff: noqa: INP001 - a script beside its pages

from __future__ import annotations

import inspect
import json
import re
import sys
import tempfile
from dataclasses import MISSING, fields
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kilter import Project, plugins
from kilter import open as open_project
from kilter.app import build
from kilter.contracts.meters import BOUNDS_NS, METRICS
from kilter.contracts.signature import Task
from kilter.contracts.verdict import GateRule
from kilter.faces.api.app import api_routes
from kilter.faces.cli.main import VERBS
from kilter.faces.sdk import ModelHandle
from kilter.faces.serving.openapi import document as openapi
from kilter.settings import load
from kilter.settings.key import DEPLOYMENT_TABLES, GATE_KEYS, ROOT_TABLES
from kilter.settings.load import RECORDS
from kilter.testing.cases import case_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from kilter.settings.key import Key

DOCS = Path(__file__).parent
REFERENCE = DOCS / "reference"

FAMILIES = {
    "performance": "How right the answers are",
    "calibration": "Whether stated chances come true",
    "slices": "Whether some groups are answered worse",
    "quality": "Whether data and model fit together, and how fast the model is",
    "drift": "How far a window has moved from the reference",
}

_MARK = re.compile(r"<!-- generated: (?P<name>[\w-]+) -->\n.*?<!-- end -->", re.DOTALL)
_GATES_PAGE = "docs/explanation/how-kilter-decides.md"
_UNITS = ((604_800.0, "w"), (86_400.0, "d"), (3_600.0, "h"), (60.0, "m"), (1.0, "s"))


def verbs() -> Iterator[tuple[str, click.Command]]:
    """Yield every verb with its command."""
    for name in VERBS:
        yield name, plugins.load("faces.cli", name).command


def cli() -> str:
    """Describe every verb and its options."""
    commands = dict(verbs())
    shared = set.intersection(*({_flags(one) for one in command.params} for command in commands.values()))
    some = next(iter(commands.values()))
    everywhere = _options([one for one in some.params if _flags(one) in shared])
    parts = ["## Options of every verb", "", everywhere]
    for name, command in commands.items():
        context = click.Context(command, info_name=f"kilter {name}")
        usage = " ".join(command.collect_usage_pieces(context))
        parts += ["", f"## kilter {name}", "", f"`kilter {name} {usage}`", "", _prose(command.help or "")]
        own = [one for one in command.params if isinstance(one, click.Option) and _flags(one) not in shared]
        parts += ["", _options(own)] if own else []
    return "\n".join(parts)


def _prose(text: str) -> str:
    """Join the lines of each paragraph."""
    return "\n\n".join(" ".join(part.split()) for part in re.split(r"\n\s*\n", text.strip()))


def _flags(parameter: click.Parameter) -> str:
    """Write an option's names."""
    return ", ".join(chain(parameter.opts, parameter.secondary_opts))


def _options(options: Sequence[click.Parameter]) -> str:
    """Write options as a table."""
    context = click.Context(click.Command("kilter"))
    lines = ["| option | what it does |", "|---|---|"]
    for one in options:
        told = one.get_help_record(context)
        if told is not None:
            names, about = (cell.replace("|", "\\|") for cell in told)
            lines.append(f"| `{names}` | {about} |")
    return "\n".join(lines)


def toml() -> str:
    """Write one file with every key and its default."""
    lines = [
        "# Every key of kilter.toml with its default. A file needs the keys marked `required` and nothing else.",
        "# Written by docs/generate.py. For editors: `kilter export schema` writes the JSON Schema.",
        "",
        "schema = 1",
        'include = []  # further files, one model each, such as ["deploy/*.toml"]',
    ]
    for table, keys in {**ROOT_TABLES, **DEPLOYMENT_TABLES}.items():
        known = {field.name: field.default for field in fields(RECORDS[table])}
        lines += ["", f"[{table}]"]
        lines += [_line(table, key, known[key.target]) for key in keys]
    lines += ["", "# Without any [[gates]], the default set of the model's risk holds: see", f"# {_GATES_PAGE}"]
    lines += ["# The first [[gates]] replaces that whole set.", "#", "# [[gates]]"]
    known = {field.name: field.default for field in fields(GateRule)}
    lines += [f"# {_line('gates', key, known[key.target])}" for key in GATE_KEYS]
    return "\n".join(lines) + "\n"


def _line(table: str, key: Key, default: object) -> str:
    """Write one key with its default and what it is."""
    about = f"{key.about}; required" if key.is_required else key.about
    if default is MISSING:
        default = {"name": "churn", "source": "model.onnx", "metric": "roc_auc_score"}[key.name]
    if default is None and table == "gates":
        return f"# {key.name} = ...  # {about}"
    return f"{key.name} = {_value(key, default)}  # {about}"


def _value(key: Key, value: object) -> str:
    """Write a value as TOML, in the unit that the file uses."""
    if value is None:
        return '"auto"'
    if key.target.endswith("_bytes") and isinstance(value, int):
        return f'"{value // 1024**2}MiB"'
    if key.target.endswith("_period_s") and isinstance(value, float):
        return f'"1/{_duration(value)}"'
    if key.target != key.name and isinstance(value, float):
        return f'"{_duration(value)}"'
    if isinstance(value, tuple):
        return "{}" if key.name == "margins" else json.dumps([_plain(one) for one in value])
    return json.dumps(_plain(value))


def _plain(value: object) -> object:
    """Write whole numbers without a point."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _duration(seconds: float) -> str:
    """Write seconds in the largest unit that is whole."""
    return next(f"{seconds / size:g}{unit}" for size, unit in _UNITS if seconds % size == 0)


def document() -> Mapping[str, Any]:
    """Return the OpenAPI document of the control plane."""
    from fastapi import FastAPI  # noqa: PLC0415 - heavy, and wanted here alone

    with tempfile.TemporaryDirectory() as folder:
        app = build(load(folder))
        try:
            web = FastAPI()
            web.include_router(api_routes(app))
            return dict(web.openapi())
        finally:
            app.close()


def control() -> str:
    """List the operations of the control plane."""
    lines = ["| verb | path | what it answers | query | body |", "|---|---|---|---|---|"]
    found = document()
    rows = [
        (verb != "get", f"| {verb.upper()} | `{path}` | {one['summary']} | {_query(one)} | {_body(one, found)} |")
        for path, verbs_ in found["paths"].items()
        for verb, one in verbs_.items()
    ]
    return "\n".join([*lines, *(row for _, row in sorted(rows, key=lambda row: row[0]))])


def _query(operation: Mapping[str, Any]) -> str:
    """List the query fields of an operation."""
    names = [f"`{one['name']}`" for one in operation.get("parameters", ()) if one["in"] == "query"]
    return ", ".join(names) or "–"


def _body(operation: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """List the fields of an operation's body; required ones without a question mark."""
    match = re.search(r"#/components/schemas/(\w+)", json.dumps(operation.get("requestBody", {})))
    if match is None:
        return "–"
    schema = found["components"]["schemas"][match[1]]
    needed = schema.get("required", ())
    return ", ".join(f"`{name}`" + ("" if name in needed else "?") for name in schema["properties"])


def checks() -> Iterator[tuple[str, str, str, str]]:
    """Yield family, names, title and the sentence in plain words of every check and distance."""
    for family in FAMILIES:
        for name in plugins.find(f"measures.{family}"):
            module = plugins.load(f"measures.{family}", name)
            if hasattr(module, "CHECK"):
                yield family, _metrics(module), module.CHECK.title, _in_plain_words(module, module.CHECK.id)
            elif hasattr(module, "METRIC"):
                title = (inspect.getdoc(module.measure) or "").split("\n")[0].removesuffix(".")
                yield family, f"`{module.METRIC}`", title, _in_plain_words(module, "measure")


def _metrics(module: Any) -> str:  # noqa: ANN401 - a check's module
    """Name the readings of a check, as a gate names them: it is run on 400 made-up rows of each task."""
    tasks = [task for task in Task if not module.CHECK.tasks or task in module.CHECK.tasks]
    names = [reading.metric for task in tasks for reading in module.run(case_of(task, 400))]
    return ", ".join(f"`{name}`" for name in dict.fromkeys(names))


def _in_plain_words(module: object, name: str) -> str:
    """Find the sentence in the docstring of a kernel: the function of this name, else the first that has one."""
    functions = {
        one.__name__: inspect.getdoc(one) or ""
        for one in vars(module).values()
        if inspect.isfunction(one) and one.__module__ == getattr(module, "__name__", "")
    }
    for text in (functions.get(name, ""), *functions.values()):
        found = re.search(r"In plain words: (.+?)(?:\n\n|\Z)", text, re.DOTALL)
        if found:
            sentence = " ".join(found[1].split())
            return sentence[0].upper() + sentence[1:]
    message = f"no sentence in plain words for {name}"
    raise LookupError(message)


def measures() -> str:
    """List every check and distance, by family."""
    lines: list[str] = []
    rows = list(checks())
    for family, title in FAMILIES.items():
        lines += ["", f"## {title}", "", "| metric | what it is | in plain words |", "|---|---|---|"]
        lines += [f"| {names} | {what} | {words} |" for room, names, what, words in rows if room == family]
    return "\n".join(lines).strip()


def sdk() -> str:
    """List what the SDK offers."""
    lines = ["| call | what it does |", "|---|---|"]
    for prefix, kind in (("kilter", None), ("project", Project), ("model", ModelHandle)):
        methods = {"open": open_project} if kind is None else _public(kind)
        for name, function in methods.items():
            words = [one for one in inspect.signature(function).parameters.values() if one.name != "self"]
            told = (inspect.getdoc(function) or "").split("\n\n")[0].replace("\n", " ").replace("``", "`")
            lines.append(f"| `{prefix}.{name}({', '.join(_parameter(one) for one in words)})` | {told} |")
    return "\n".join(lines)


def _public(kind: type) -> dict[str, Callable[..., object]]:
    """Return the methods that users call."""
    hidden = {"data_file"}
    return {
        name: one
        for name, one in vars(kind).items()
        if inspect.isfunction(one) and name[0] != "_" and name not in hidden
    }


def serving() -> str:
    """Describe every path of the data plane."""
    lines = ["| verb | path | what it does |", "|---|---|---|"]
    for path, verbs in openapi()["paths"].items():
        lines += [f"| {verb.upper()} | `{path}` | {operation['summary']} |" for verb, operation in verbs.items()]
    return "\n".join(lines)


def _parameter(parameter: inspect.Parameter) -> str:
    """Write a parameter without its type."""
    return parameter.name if parameter.default is inspect.Parameter.empty else f"{parameter.name}={parameter.default!r}"


def metrics() -> str:
    """List every metric of the data plane."""
    lines = ["| metric | kind | labels | what it is |", "|---|---|---|---|"]
    for spec in METRICS:
        labels = ", ".join(f"`{label}`" for label in spec.labels)
        lines.append(f"| `{spec.name}` | {spec.kind} | {labels} | {spec.about.removesuffix('.')} |")
    bounds = ", ".join(f"{bound / 1e9:g}" for bound in BOUNDS_NS)
    return "\n".join([*lines, "", f"Bounds of the buckets of every histogram, in seconds: {bounds}."])


SECTIONS: Mapping[str, Callable[[], str]] = {
    "cli": cli,
    "control": control,
    "measures": measures,
    "metrics": metrics,
    "sdk": sdk,
    "serving": serving,
}


def pages() -> dict[Path, str]:
    """Return every generated file with the text that it should have."""
    plane = json.dumps(openapi(), indent=1, ensure_ascii=False) + "\n"
    found = {REFERENCE / "kilter.toml": toml(), REFERENCE / "serving.openapi.json": plane}
    for path in sorted(REFERENCE.glob("*.md")):
        text = path.read_text(encoding="utf-8")
        new = _MARK.sub(
            lambda match: f"<!-- generated: {match['name']} -->\n{SECTIONS[match['name']]()}\n<!-- end -->", text
        )
        if _MARK.search(text):
            found[path] = new
    return found


def main(arguments: list[str]) -> int:
    """Write what is stale, or name it."""
    stale = []
    for path, text in pages().items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(path.relative_to(DOCS.parent).as_posix())
            if "--check" not in arguments:
                path.write_text(text, encoding="utf-8")
    sys.stdout.write("".join(f"{'stale' if '--check' in arguments else 'wrote'} {name}\n" for name in stale))
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
