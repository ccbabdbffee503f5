"""A small project for the faces' tests: two versions of a model, their data, no running process."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from kilter.faces.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROWS = 900


@dataclass(frozen=True)
class Answer:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def object(self) -> dict[str, Any]:
        """The last line as JSON."""
        found: dict[str, Any] = json.loads(self.out.splitlines()[-1])
        return found


def write_table(path: Path, rows: np.ndarray[Any, Any], labels: np.ndarray[Any, Any] | None) -> None:
    """Write columns a, b and, with labels, left."""
    lines = ["a,b,left" if labels is not None else "a,b"]
    for i, row in enumerate(rows):
        cells = [f"{row[0]:.6f}", f"{row[1]:.6f}", *([str(labels[i])] if labels is not None else [])]
        lines.append(",".join(cells))
    path.write_text("\n".join(lines) + "\n")


def run_in(folder: Path, capsys: pytest.CaptureFixture[str], *words: str) -> Answer:
    """Run a command in this process."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        main([*words, "--project", str(folder)])
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    assert isinstance(caught.value.code, int)
    return Answer(caught.value.code, printed.out, printed.err)


@pytest.fixture(scope="session")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the first version has been added."""
    folder = tmp_path_factory.mktemp("registered") / "shop"
    folder.mkdir()
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(ROWS, 2))
    labels = np.where(rng.random(ROWS) < 1 / (1 + np.exp(-2 * rows[:, 0] + rows[:, 1])), "yes", "no")
    for number, size in ((1, 300), (2, 350)):
        joblib.dump(LogisticRegression().fit(rows[:size], labels[:size]), folder / f"m{number}.joblib")
    write_table(folder / "ref.csv", rows[:400], labels[:400])
    write_table(folder / "holdout.csv", rows[400:800], labels[400:800])
    write_table(folder / "new.csv", rows[800:], None)
    words = ["add", str(folder / "m1.joblib"), "--name", "shop", "--data", str(folder / "ref.csv")]
    words += ["--holdout", str(folder / "holdout.csv"), "--target", "left", "--positive", "yes", "--trust"]
    with pytest.raises(SystemExit) as caught:
        main([*words, "--project", str(folder), "--quiet"])
    assert caught.value.code == 0
    return folder


@pytest.fixture
def shop(registered: Path, tmp_path: Path) -> Path:
    """A copy of the folder, to be changed."""
    return shutil.copytree(registered, tmp_path / "shop")


@pytest.fixture
def run(shop: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """Run a command on the copy."""
    return lambda *words: run_in(shop, capsys, *words)
