"""Reads ``kilter.toml``, the environment and flags into one settings tree; all faults at once."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from kilter.contracts.spec import (
    DataSpec,
    DeploymentSpec,
    LogSpec,
    ModelSpec,
    MonitorSpec,
    RetrainSpec,
    RolloutSpec,
    ServeSpec,
)
from kilter.contracts.verdict import GateRule, OnFail
from kilter.errors import NotFound, SettingsError
from kilter.settings.key import DEPLOYMENT_TABLES, GATE_KEYS, ROOT_TABLES, TOP_LEVEL, Key
from kilter.settings.position import Position, positions
from kilter.settings.tree import ControlSettings, ProjectSettings, ServerSettings, ServingSettings, Settings

__all__ = ["FILE_NAME", "RECORDS", "SCHEMA", "load"]

FILE_NAME = "kilter.toml"
SCHEMA = 1
_MOST_FAULTS = 20
_ENVIRONMENT_PREFIX = "KILTER_"
RECORDS = {
    "project": ProjectSettings,
    "server": ServerSettings,
    "serving": ServingSettings,
    "control": ControlSettings,
    "model": ModelSpec,
    "data": DataSpec,
    "deployment": ServeSpec,
    "log": LogSpec,
    "rollout": RolloutSpec,
    "monitor": MonitorSpec,
    "retrain": RetrainSpec,
}


@dataclass(slots=True)
class _Source:
    """One file being read: its parsed content, where its keys stand, and the faults found in it."""

    path: Path
    content: dict[str, object]
    positions: Mapping[str, Position]
    faults: list[dict[str, str]]
    origins: dict[str, str] = field(default_factory=dict)

    def where(self, path: str) -> str:
        """Name the place of a key as file:line:column, or of the nearest table around it."""
        parts = path.split(".")
        for length in range(len(parts), 0, -1):
            position = self.positions.get(".".join(parts[:length]))
            if position is not None:
                return f"{self.path}:{position[0]}:{position[1]}"
        return f"{self.path}:1:1"

    def fault(self, path: str, message: str, hint: str) -> None:
        """Note one fault."""
        self.faults.append({"where": self.where(path), "message": message, "hint": hint})


def load(
    folder: str | Path,
    *,
    file: str | Path | None = None,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
) -> Settings:
    """Build the settings of a project folder.

    Parameters
    ----------
    folder : path
        The project's folder; ``kilter.toml`` in it is read if it is there.
    file : path or None
        Another file to read; it must exist. Relative paths in it are relative to its folder.
    environment : mapping or None
        Variables; ``KILTER_SERVING__PORT`` sets ``serving.port``. None means none.
    flags : mapping or None
        Dotted path to value, strongest of all.

    Returns
    -------
    Settings
        The effective tree, with the origin of each value that is not a default.

    Raises
    ------
    SettingsError
        If anything is unknown, of the wrong type or missing; all faults, at most 20, with file, line
        and column and the nearest names.
    NotFound
        If ``file`` is given and does not exist.
    """
    base = Path(folder).resolve()
    path = Path(file).resolve() if file is not None else base / FILE_NAME
    faults: list[dict[str, str]] = []
    sources: list[_Source] = []
    if path.exists():
        sources = _sources(path, faults)
    elif file is not None:
        msg = f"there is no settings file {path}"
        raise NotFound(msg, hint="run `kilter add` to have one written")
    root: dict[str, dict[str, object]] = {name: {} for name in ROOT_TABLES}
    origins: dict[str, str] = {}
    specs = [_read_file(source, root, is_root=index == 0) for index, source in enumerate(sources)]
    for source in sources:
        origins |= source.origins
    _overlay(root, environment or {}, flags or {}, origins, faults)
    deployments = tuple(spec for spec in specs if spec is not None)
    _unique(deployments, faults, path)
    if faults:
        raise _error(faults)
    folder_of_file = path.parent if sources else base
    home = folder_of_file / str(root["project"].get("home", ProjectSettings().home))
    project = {"name": folder_of_file.name or "kilter"} | root["project"]
    return Settings(
        project=ProjectSettings(**(project | {"home": str(home), "folder": str(folder_of_file)})),  # type: ignore[arg-type]
        server=ServerSettings(**root["server"]),  # type: ignore[arg-type]
        serving=ServingSettings(**root["serving"]),  # type: ignore[arg-type]
        control=ControlSettings(**root["control"]),  # type: ignore[arg-type]
        deployments=deployments,
        origins=origins,
    )


def _sources(path: Path, faults: list[dict[str, str]]) -> list[_Source]:
    """Parse a file and the files that it includes."""
    first = _parse(path, faults)
    include = first.content.get("include", [])
    if not isinstance(include, list) or not all(isinstance(pattern, str) for pattern in include):
        first.fault("include", "`include` is a list of file patterns", 'write include = ["deploy/*.toml"]')
        return [first]
    found = [name for pattern in include for name in sorted(path.parent.glob(pattern))]
    return [first, *(_parse(name, faults) for name in found)]


def _parse(path: Path, faults: list[dict[str, str]]) -> _Source:
    """Parse one file; a file that is no TOML stops at once, since nothing in it can be trusted."""
    try:
        source = path.read_text(encoding="utf-8-sig")
        content = tomllib.loads(source)
    except UnicodeDecodeError as error:
        msg = "the file is not UTF-8 text"
        raise SettingsError(msg, where=str(path), hint="save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        msg = f"the file is not valid TOML: {error}"
        raise SettingsError(msg, where=str(path), hint="fix the line; text values need quotes") from error
    except OSError as error:
        msg = f"the file cannot be read: {error.strerror}"
        raise SettingsError(msg, where=str(path)) from error
    parsed = _Source(path=path, content=content, positions=positions(source), faults=faults)
    schema = content.get("schema", SCHEMA)
    if not isinstance(schema, int) or schema > SCHEMA:
        parsed.fault(
            "schema",
            f"this file is of schema {schema}, this kilter reads up to {SCHEMA}",
            "install a newer kilter, or write `schema = 1`",
        )
    return parsed


def _read_file(source: _Source, root: dict[str, dict[str, object]], *, is_root: bool) -> DeploymentSpec | None:
    """Read all tables of one file; root tables go into ``root``."""
    known = {*TOP_LEVEL, *ROOT_TABLES, *DEPLOYMENT_TABLES, "gates"}
    tables: dict[str, dict[str, object]] = {}
    for name, table in source.content.items():
        if name not in known:
            source.fault(name, f"unknown table or key `{name}`", _near(name, known))
        elif name in TOP_LEVEL or name == "gates":
            continue
        elif not isinstance(table, dict):
            source.fault(name, f"`{name}` is a table", f"write [{name}] on a line of its own")
        elif name in ROOT_TABLES and not is_root:
            source.fault(name, f"`[{name}]` belongs into the root file", f"move it to {FILE_NAME}")
        elif name in ROOT_TABLES:
            root[name] = _read_table(source, name, table, ROOT_TABLES[name])
        else:
            tables[name] = _read_table(source, name, table, DEPLOYMENT_TABLES[name])
    _need_fallback(source, tables.get("deployment", {}))
    gates = _read_gates(source)
    if "model" not in source.content:
        for name in [*tables, *(["gates"] if gates else [])]:
            source.fault(name, f"`[{name}]` needs a `[model]` in the same file", "add [model] with name and source")
        return None
    if source.faults:
        return None
    parts = {name: RECORDS[name](**values) for name, values in tables.items()}
    return DeploymentSpec(**parts, gates=gates)


def _need_fallback(source: _Source, values: dict[str, object]) -> None:
    """Refuse a promise of answers that nobody could give."""
    for name, promise in (("on_overload", "fallback"), ("on_error", "open")):
        if values.get(name) == promise and not values.get("fallback"):
            message = f'`deployment.{name} = "{promise}"` needs the key `fallback`'
            source.fault(
                f"deployment.{name}", message, 'add fallback = "last_good", "constant:VALUE" or "NAME@VERSION"'
            )


def _read_table(source: _Source, name: str, table: dict[str, object], keys: tuple[Key, ...]) -> dict[str, object]:
    """Read one table; every fault in it is noted, none stops."""
    known = {key.name: key for key in keys}
    values: dict[str, object] = {}
    for key_name, value in table.items():
        path = f"{name}.{key_name}"
        if key_name not in known:
            source.fault(
                path, f"unknown key `{key_name}` in [{name.split('.', maxsplit=1)[0]}]", _near(key_name, known)
            )
            continue
        key = known[key_name]
        try:
            values[key.target] = key.read(value)
        except ValueError as error:
            source.fault(path, f"`{path}`: {error}", f"set it to {key.about}")
            continue
        if key.is_path and isinstance(value, str) and value:
            values[key.target] = str(source.path.parent / value)
        source.origins[path] = source.where(path)
    for key in keys:
        if key.is_required and key.name not in table:
            source.fault(
                name, f"[{name.split('.', maxsplit=1)[0]}] needs the key `{key.name}`", f"add {key.name}: {key.about}"
            )
    return values


def _read_gates(source: _Source) -> tuple[GateRule, ...]:
    """Read every ``[[gates]]``."""
    tables = source.content.get("gates", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        source.fault("gates", "`gates` is a list of tables", "write [[gates]] on a line of its own")
        return ()
    rules = []
    for index, table in enumerate(tables):
        before = len(source.faults)
        values = _read_table(source, f"gates.{index}", table, GATE_KEYS)
        if len(source.faults) == before:
            on_fail = OnFail(str(values.pop("on_fail", OnFail.BLOCK)))
            rules.append(GateRule(**values, on_fail=on_fail))  # type: ignore[arg-type]
    return tuple(rules)


def _overlay(
    root: dict[str, dict[str, object]],
    environment: Mapping[str, str],
    flags: Mapping[str, object],
    origins: dict[str, str],
    faults: list[dict[str, str]],
) -> None:
    """Lay environment and flags over the root tables."""
    given: list[tuple[str, object, str]] = []
    for variable, text in environment.items():
        if variable.startswith(_ENVIRONMENT_PREFIX) and "__" in variable:
            path = variable.removeprefix(_ENVIRONMENT_PREFIX).lower().replace("__", ".", 1)
            given.append((path, _toml_value(text), f"environment {variable}"))
    given += [(path, value, f"flag for {path}") for path, value in flags.items()]
    for path, value, origin in given:
        table, _, name = path.partition(".")
        keys = {key.name: key for key in ROOT_TABLES.get(table, ())}
        if name not in keys:
            known = [f"{table_name}.{key.name}" for table_name, keys_ in ROOT_TABLES.items() for key in keys_]
            message, hint = f"unknown setting `{path}`", _near(path, known)
            faults.append({"where": origin, "message": message, "hint": hint})
            continue
        try:
            root[table][keys[name].target] = keys[name].read(value)
        except ValueError as error:
            hint = f"set it to {keys[name].about}"
            faults.append({"where": origin, "message": f"`{path}`: {error}", "hint": hint})
            continue
        origins[path] = origin


def _toml_value(value: str) -> object:
    """Read a variable as TOML would, or as plain text."""
    try:
        return tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return value


def _unique(deployments: tuple[DeploymentSpec, ...], faults: list[dict[str, str]], path: Path) -> None:
    """Refuse two deployments of one name."""
    names = [spec.model.name for spec in deployments]
    for name in sorted({name for name in names if names.count(name) > 1}):
        hint = "give each model its own name"
        faults.append({"where": str(path), "message": f"two files name the model `{name}`", "hint": hint})


def _near(name: str, known: Mapping[str, Key] | set[str] | list[str]) -> str:
    """Suggest up to three nearest names, or the table that the key belongs to."""
    near = get_close_matches(name, list(known), n=3, cutoff=0.6)
    if near:
        return "use " + " or ".join(f"`{match}`" for match in near)
    tables = [
        table for table, keys in ({**ROOT_TABLES, **DEPLOYMENT_TABLES}).items() if name in {key.name for key in keys}
    ]
    if tables:
        return f"move it to [{tables[0]}]"
    return "use one of " + ", ".join(f"`{match}`" for match in sorted(known)[:12])


def _error(faults: list[dict[str, str]]) -> SettingsError:
    """Make one error of all faults, in the order of their places."""
    faults = sorted(faults, key=lambda fault: [(part.isdigit(), part.zfill(8)) for part in fault["where"].split(":")])
    first = faults[0]
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return SettingsError(
        first["message"] + more,
        where=first["where"],
        hint=first["hint"],
        details={"errors": [dict(fault) for fault in faults[:_MOST_FAULTS]]},
    )
