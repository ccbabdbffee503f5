"""Every error has one stable code, one page, and one answer in every face."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kilter import errors
from kilter.errors import KilterError
from kilter.faces.api import errors as api
from kilter.faces.cli import errors as cli
from kilter.faces.serving import errors as serving
from kilter.faces.serving.grpc import status as grpc

if TYPE_CHECKING:
    from collections.abc import Mapping

PAGES = Path(__file__).parents[2] / "docs" / "errors"

# The column of a page's table, and the face whose `ERRORS` it states.
FACES = {"exit code": cli.ERRORS, "control plane": api.ERRORS, "data plane": serving.ERRORS, "gRPC": grpc.ERRORS}


def leaves() -> list[type[KilterError]]:
    """Every class of the tree that has no subclass in it."""
    tree = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, KilterError)]
    return [kind for kind in tree if not any(other is not kind and issubclass(other, kind) for other in tree)]


def answer(kind: type[KilterError], table: Mapping[type[KilterError], int]) -> int | None:
    """Look a leaf up as a face does; the root alone would cover everything, so it does not count."""
    return next((table[parent] for parent in kind.__mro__ if parent in table and parent is not KilterError), None)


def stated(kind: type[KilterError]) -> dict[str, str]:
    """Read the table of a leaf's page: column -> number, or an en dash where the face never meets it."""
    page = (PAGES / f"{kind.code}.md").read_text(encoding="utf-8")
    head, _, row = re.findall(r"^\|(.+)\|$", page, re.MULTILINE)[:3]
    return dict(zip(*([cell.strip() for cell in line.split("|")] for line in (head, row)), strict=True))


def test_codes_are_unique() -> None:
    codes = [kind.code for kind in leaves()]
    assert len(codes) == len(set(codes))


def test_every_page_has_its_error() -> None:
    assert {page.stem for page in PAGES.glob("*.md")} == {kind.code for kind in leaves()}


@pytest.mark.parametrize("kind", leaves(), ids=lambda kind: kind.code)
@pytest.mark.parametrize("face", FACES)
def test_the_page_states_what_the_face_answers(face: str, kind: type[KilterError]) -> None:
    number = stated(kind)[face]
    if number == "–":
        # Never met there; if it is after all, the face answers 500 and alerts.
        assert kind in serving.NEVER
    else:
        assert answer(kind, FACES[face]) == (grpc.Status[number] if face == "gRPC" else int(number))
