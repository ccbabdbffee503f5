"""Shape of the source: what no linter checks. The limits are those of CONTRIBUTING.md."""

from __future__ import annotations

import ast
import re
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Function = ast.FunctionDef | ast.AsyncFunctionDef

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "kilter"

# thing: (soft, hard). Soft is printed after the run, hard fails.
LIMITS = {
    "file": (250, 400),
    "init": (20, 60),
    "body": (40, 60),
    "positional": (3, 5),
    "port": (4, 6),
}

# Exceptions to a hard limit, as "path: name" -> ADR number. May only shrink; starts empty.
EXCUSED: dict[str, int] = {}

# The four kinds of places where `except Exception` may stand, once per file, its reason beside it.
# A handler that ends by raising translates and is not blind.
BLIND = {
    "face top": (
        *("faces/*/main.py", "faces/*/app.py", "faces/*/errors.py", "faces/sdk/client.py"),
        "faces/serving/http/answering.py",  # what answers at once; app.py has what answers later
        "faces/serving/grpc/adapter.py",
    ),
    "worker top": ("faces/serving/worker.py", "engines/*.py"),
    "control tick": ("control/*.py",),
    "plug-in load": ("plugins.py",),
}

# Calls that build a constant and do nothing else. Classes (CapWords) are constructors, so they are free.
PURE_CALLS = {
    *(
        "bool",
        "bytes",
        "dict",
        "float",
        "frozenset",
        "int",
        "len",
        "list",
        "max",
        "min",
        "object",
        "range",
        "round",
        "set",
    ),
    *("sorted", "str", "sum", "tuple"),
    *("decode", "encode", "fromhex", "join", "lower", "replace", "split", "strip", "upper"),
    *(
        "auto",
        "compile",
        "date",
        "datetime",
        "dtype",
        "field",
        "getLogger",
        "itemgetter",
        "namedtuple",
        "property",
        "timedelta",
    ),
}
PURE_MODULES = {"math", "np", "pa", "sa"}
SQL = re.compile(
    r"\s*(SELECT\s|INSERT\s+(OR\s+\w+\s+)?INTO\s|UPDATE\s+\S+\s+SET\s|DELETE\s+FROM\s|(CREATE|DROP|ALTER)\s+\w+\s|PRAGMA\s|COPY\s|ATTACH\s"
    r"|WITH\s+\S+\s+AS\s)"
)
RUNS_SQL = {"execute", "executemany", "executescript", "sql", "text"}


@cache
def modules() -> dict[str, ast.Module]:
    """Every module of the package by its path below src/kilter; alembic's scripts are not modules."""
    paths = sorted(path for path in SOURCE.rglob("*.py") if "migrations" not in path.parts)
    return {path.relative_to(SOURCE).as_posix(): ast.parse(path.read_text(encoding="utf-8")) for path in paths}


def functions(tree: ast.AST) -> Iterator[Function]:
    """Every function and method, nested ones too."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def body_lines(function: Function) -> int:
    """Lines from the first to the last statement, without the docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def positional(function: Function) -> int:
    """Arguments that a caller may give by position, the receiver not counted."""
    names = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
    return len(names) - (names[:1] in (["self"], ["cls"]))


def is_port(node: ast.AST) -> bool:
    """Tell whether a class is a Protocol."""
    return isinstance(node, ast.ClassDef) and any(
        ast.unparse(base).split("[")[0].rpartition(".")[2] == "Protocol" for base in node.bases
    )


def methods(port: ast.AST) -> list[Function]:
    """List the public methods of a port."""
    assert isinstance(port, ast.ClassDef)
    return [
        node
        for node in port.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_")
    ]


def measured() -> Iterator[tuple[str, str, int]]:
    """Yield (limit, where, size) for everything that has a limit."""
    for path, tree in modules().items():
        lines = len((SOURCE / path).read_text(encoding="utf-8").splitlines())
        yield ("init" if path.endswith("__init__.py") else "file"), path, lines
        for function in functions(tree):
            yield "body", f"{path}: {function.name}", body_lines(function)
            yield "positional", f"{path}: {function.name}", positional(function)
        for port in filter(is_port, ast.walk(tree)):
            yield "port", f"{path}: {getattr(port, 'name', '')}", len(methods(port))


def runs_at_import(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """Walk what runs when a module is imported: no function bodies, no decorators, no annotations."""
    for statement in body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            defaults = (*statement.args.defaults, *filter(None, statement.args.kw_defaults))
            yield from (node for default in defaults for node in ast.walk(default))
        elif isinstance(statement, ast.ClassDef):
            yield from runs_at_import(statement.body)
        elif isinstance(statement, ast.If):
            test = ast.unparse(statement.test)
            if "TYPE_CHECKING" not in test and "__main__" not in test:
                yield from ast.walk(statement.test)
                yield from runs_at_import([*statement.body, *statement.orelse])
        elif isinstance(statement, ast.AnnAssign):
            yield from ast.walk(statement.value) if statement.value else ()
        else:
            yield from ast.walk(statement)


def from_own_room(path: str, tree: ast.Module) -> set[str]:
    """Names that a module imports from its own room: a table of constants may be built with them."""
    room = "kilter." + path.partition("/")[0].removesuffix(".py")
    return {
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith(f"{room}.")
        for alias in node.names
    }


def is_pure_call(call: ast.Call, own: set[str]) -> bool:
    """Tell whether a call builds a constant: a constructor, one of the short list, or the room's own."""
    dotted = ast.unparse(call.func).partition("[")[0]
    first, _, name = dotted.rpartition(".")
    return (
        name.lstrip("_")[:1].isupper() or name in PURE_CALLS or (first or name).partition(".")[0] in PURE_MODULES | own
    )


def is_blind(handler: ast.ExceptHandler) -> bool:
    """Tell whether a handler takes every exception and does not end by raising."""
    caught = "BaseException" if handler.type is None else ast.unparse(handler.type)
    everything = re.search(r"\b(Base)?Exception\b", caught)
    return bool(everything) and not isinstance(handler.body[-1], ast.Raise)


def is_built_sql(node: ast.AST) -> bool:
    """Tell whether a string put together at run time is, or is run as, SQL."""
    match node:
        case ast.JoinedStr(values=[ast.Constant(value=str(head)), *_]):
            return bool(SQL.match(head))
        case ast.BinOp(left=ast.Constant(value=str(head)), op=ast.Mod() | ast.Add()):
            return bool(SQL.match(head))
        case ast.Call(func=ast.Attribute(attr=name) | ast.Name(id=name), args=[ast.JoinedStr(), *_]):
            return name in RUNS_SQL
    return False


def test_sizes_stay_below_the_hard_limits(record_property: Callable[[str, object], None]) -> None:
    too_large = []
    for limit, where, size in measured():
        soft, hard = LIMITS[limit]
        if size > hard and where not in EXCUSED:
            too_large.append(f"{where}: {limit} {size} > {hard}")
        elif size > soft:
            record_property("soft", f"{where}: {limit} {size} > {soft}")
    assert not too_large


def test_excuses_are_still_needed() -> None:
    needed = {where for limit, where, size in measured() if size > LIMITS[limit][1]}
    assert set(EXCUSED) <= needed


def test_one_file_holds_one_idea(record_property: Callable[[str, object], None]) -> None:
    undocumented = []
    for path, tree in modules().items():
        first, *_ = (ast.get_docstring(tree) or "").splitlines() or [""]
        if not first:
            undocumented.append(path)
        elif " and " in first and not path.endswith("__init__.py"):
            record_property("soft", f'{path}: the first line holds "and"; are these two files?')
    assert not undocumented


@pytest.mark.parametrize("path", modules())
def test_nothing_happens_at_import(path: str) -> None:
    if path.endswith("__main__.py"):
        return
    tree = modules()[path]
    own = from_own_room(path, tree)
    calls = [node for node in runs_at_import(tree.body) if isinstance(node, ast.Call)]
    assert not [f"{path}:{call.lineno}: {ast.unparse(call)}" for call in calls if not is_pure_call(call, own)]


@pytest.mark.parametrize("path", modules())
def test_no_call_stands_alone_at_import(path: str) -> None:
    # A call whose value nobody keeps acts on something.
    alone = [node for node in modules()[path].body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)]
    assert path.endswith("__main__.py") or not [f"{path}:{node.lineno}: {ast.unparse(node)}" for node in alone]


def test_packages_only_re_export() -> None:
    # A module-level __getattr__ is a re-export that waits until it is asked for.
    wrong = []
    for path, tree in modules().items():
        if not path.endswith("__init__.py"):
            continue
        for node in tree.body:
            is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            is_import = isinstance(node, ast.Import | ast.ImportFrom)
            is_guard = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
            is_constant = isinstance(node, ast.Assign | ast.AnnAssign)
            is_lazy = isinstance(node, ast.FunctionDef) and node.name in {"__getattr__", "__dir__"}
            if not (is_docstring or is_import or is_guard or is_constant or is_lazy):
                wrong.append(f"{path}:{node.lineno}: {ast.unparse(node).splitlines()[0]}")
    assert not wrong


def test_every_port_method_says_what_it_raises() -> None:
    silent = []
    for path, tree in modules().items():
        if path.startswith("contracts/"):
            for port in filter(is_port, ast.walk(tree)):
                silent += [
                    f"{path}:{method.lineno}: {method.name}"
                    for method in methods(port)
                    if not re.search(r"^Raises\n-+$", ast.get_docstring(method) or "", re.MULTILINE)
                ]
    assert not silent


def test_blind_excepts_stand_at_four_kinds_of_places_with_a_reason() -> None:
    wrong = []
    for path, tree in modules().items():
        lines = (SOURCE / path).read_text(encoding="utf-8").splitlines()
        blind = [node for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler) and is_blind(node)]
        allowed = int(any(fnmatch(path, pattern) for patterns in BLIND.values() for pattern in patterns))
        wrong += [f"{path}:{node.lineno}: not a place for a blind except" for node in blind[allowed:]]
        wrong += [f"{path}:{node.lineno}: no reason beside it" for node in blind if "#" not in lines[node.lineno - 1]]
    assert not wrong


def test_sql_is_never_put_together_from_strings() -> None:
    found = [
        f"{path}:{getattr(node, 'lineno', 0)}: {ast.unparse(node)[:80]}"
        for path, tree in modules().items()
        for node in ast.walk(tree)
        if is_built_sql(node)
    ]
    assert not found


def test_only_plugins_imports_by_string() -> None:
    # ruff sees importlib.import_module; it does not see the bare builtin.
    found = [
        f"{path}:{node.lineno}"
        for path, tree in modules().items()
        if path != "plugins.py"
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and node.id == "__import__"
    ]
    assert not found
