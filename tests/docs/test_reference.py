"""The reference says what the program does: nothing stale, nothing left out, nothing that is not there."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from kilter import errors
from kilter.errors import KilterError
from kilter.faces.cli.main import VERBS
from kilter.faces.serving.openapi import operations
from kilter.settings import load
from kilter.settings.key import DEPLOYMENT_TABLES, GATE_KEYS, ROOT_TABLES

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"


def text_of(*names: str) -> str:
    return "\n".join((ROOT / name).read_text(encoding="utf-8") for name in names)


def prose() -> str:
    pages = [ROOT / "README.md", *(page for page in DOCS.rglob("*.md") if page.parent.name != "adr")]
    return "\n".join(page.read_text(encoding="utf-8") for page in pages)


def test_generated_pages_are_fresh() -> None:
    done = subprocess.run(
        [sys.executable, str(DOCS / "generate.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}\nrun `python docs/generate.py`"


def test_the_file_of_defaults_holds_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "kilter.toml").write_text('[model]\nname = "churn"\nsource = "model.onnx"\n')
    bare, full = load(tmp_path), load(REFERENCE)
    assert full.server == bare.server
    assert full.serving == bare.serving
    assert full.control == bare.control
    wanted = bare.deployments[0]
    found = full.deployments[0]
    assert replace(found, model=wanted.model, data=wanted.data) == wanted
    assert replace(found.model, source=wanted.model.source) == wanted.model
    assert found.data == replace(wanted.data, reference=found.data.reference, holdout=found.data.holdout)


def test_every_setting_has_its_line() -> None:
    text = text_of("docs/reference/kilter.toml")
    for table, keys in {**ROOT_TABLES, **DEPLOYMENT_TABLES, "gates": GATE_KEYS}.items():
        assert f"[{table}]" in text
        part = text.partition(f"[{table}]")[2]
        for key in keys:
            assert re.search(rf"^(# )*{key.name} = .*# {re.escape(key.about)}", part, re.MULTILINE), (
                f"{table}.{key.name}"
            )


def test_every_verb_has_its_section_and_no_other_is_named() -> None:
    headings = re.findall(r"^## kilter (\w+)$", text_of("docs/reference/cli.md"), re.MULTILINE)
    assert headings == list(VERBS)
    used = set(re.findall(r"(?:`|\$ )kilter ([a-z]+)", prose()))
    assert used <= set(VERBS), f"pages name verbs that do not exist: {sorted(used - set(VERBS))}"


def test_every_option_that_a_page_uses_exists() -> None:
    known = set(re.findall(r"--[a-z-]+", text_of("docs/reference/cli.md"))) | {"--help", "--version"}
    found = re.findall(r"(?:`|\$ )kilter [^`\n]*", prose())
    used = {option for line in found for option in re.findall(r"(?<= )--[a-z-]+", line.partition("#")[0])}
    assert used <= known, f"pages use options that do not exist: {sorted(used - known)}"


def test_every_path_of_the_data_plane_has_its_row_and_no_other() -> None:
    found = {pattern for _, pattern in operations()}
    part = text_of("docs/reference/rest.md").partition("## Control plane")[0]
    rows = re.findall(r"^\| (?:GET|POST) \| `([^`]+)` \|", part, re.MULTILINE)
    assert sorted(re.sub(r"{\w+}", "{}", row) for row in rows) == sorted(found)


def test_every_error_has_its_page() -> None:
    tree = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, KilterError)]
    leaves = [kind for kind in tree if not any(other is not kind and issubclass(other, kind) for other in tree)]
    assert {kind.code for kind in leaves} == {page.stem for page in (DOCS / "errors").glob("*.md")}


def test_every_page_can_be_reached_from_the_index() -> None:
    index = text_of("docs/README.md")
    linked = {(DOCS / target).resolve() for target in re.findall(r"\]\(([^)#:]+)\)", index)}
    rooms = ("tutorial", "how-to", "reference", "explanation")
    wanted = {page.resolve() for room in rooms for page in (DOCS / room).iterdir() if page.is_file()}
    assert wanted <= linked, sorted(page.name for page in wanted - linked)
