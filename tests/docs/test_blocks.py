"""Whatever a page says to type works as written: console and python blocks run, toml blocks load."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from kilter.settings import load

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]

# Lines that set a machine up, change the checkout, or take minutes. What is left out is printed.
SKIPPED = ("make ", "git clone ", "pip install ", "python -m venv ", "kilter demo", "cd kilter")

_FENCE = re.compile(r"(?P<marks>(?:<!--[^\n]*-->\n)*)^```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_MARK = re.compile(r"<!-- (?P<verb>write|append): (?P<name>[\w./-]+) -->")
_BEFORE = re.compile(r"^<!-- before: (?P<name>\w+) -->$", re.MULTILINE)
_SETUP = re.compile(r"^<!-- setup: (?P<name>\w+) -->$", re.MULTILINE)


PATIENCE_S = 60.0
COLUMNS = ("mean_radius", "mean_texture", "mean_perimeter", "mean_area")
SETTINGS = """\
schema = 1

[model]
name = "cells"
source = "model.joblib"
target = "outcome"
trust = true

[data]
reference = "reference.csv"
holdout = "holdout.csv"

[monitor]
every = "1s"
"""


@dataclass
class Shell:
    """Runs the commands of a page in one folder, with ports of its own."""

    folder: Path
    port: int
    data_port: int
    grpc_port: int
    warm: Path
    up: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def environment(self) -> dict[str, str]:
        """Variables that set the ports and a quick loop, and find this very kilter first."""
        return os.environ | {
            "PATH": os.pathsep.join([str(self.warm), str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
            "KILTER_SERVER__PORT": str(self.port),
            "KILTER_SERVING__PORT": str(self.data_port),
            "KILTER_SERVING__GRPC_PORT": str(self.grpc_port),
            "KILTER_SERVING__WORKERS": "1",
            "KILTER_CONTROL__POLL_S": "0.05",
            "COLUMNS": "200",
        }

    def ported(self, text: str) -> str:
        """Put the ports of this shell where the pages have the default ones."""
        text = text.replace("127.0.0.1:8080", f"127.0.0.1:{self.data_port}")
        text = text.replace("127.0.0.1:8081", f"127.0.0.1:{self.grpc_port}")
        return text.replace("127.0.0.1:8000", f"127.0.0.1:{self.port}")

    def run(self, line: str) -> str:
        """Run one line as a person would type it; return what it printed."""
        line = self.ported(line)
        if line.startswith("cd "):
            self.folder = self.folder / line.removeprefix("cd ").strip()
            return ""
        if line.split("#")[0].strip() == "kilter up":
            self.start()
            return ""
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", line],  # noqa: S607 - as the reader's own shell
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, f"$ {line}\n{done.stdout}"
        return done.stdout

    def python(self, code: str) -> str:
        """Run a block of Python."""
        done = subprocess.run(
            [self.warm / "kilter", "-c", self.ported(code)],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, f"{code}\n{done.stdout}{done.stderr}"
        return done.stdout

    def start(self) -> None:
        """Start ``kilter up`` and wait until both planes answer."""
        log = self.folder / "up.log"
        with log.open("wb") as stream:
            self.up = subprocess.Popen(
                [sys.executable, "-m", "kilter", "up"],
                cwd=self.folder,
                env=self.environment,
                stdout=stream,
                stderr=stream,
            )
        until = time.monotonic() + PATIENCE_S
        waiting = [f"http://127.0.0.1:{self.data_port}/v2/health/ready", f"http://127.0.0.1:{self.port}/v1/health"]
        while waiting:
            assert self.up.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            if answers(waiting[0]):
                waiting.pop(0)
            else:
                time.sleep(0.05)

    def stop(self) -> None:
        """End what was started, by its process id."""
        if self.up is not None:
            self.up.send_signal(signal.SIGTERM)
            assert self.up.wait(PATIENCE_S) == 0
            self.up = None


def answers(address: str) -> bool:
    """Say whether an address answers 200."""
    try:
        with urllib.request.urlopen(address, timeout=1) as answer:  # noqa: S310 - our own server
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def table(rows: np.ndarray[Any, Any], labels: list[str] | None, name: str = "outcome") -> str:
    """Write rows, and their labels if there are any, as CSV."""
    head = [*COLUMNS, *([name] if labels is not None else [])]
    lines = [",".join(head)]
    for place, row in enumerate(rows):
        lines.append(",".join([f"{cell:.4f}" for cell in row] + ([labels[place]] if labels is not None else [])))
    return "\n".join(lines) + "\n"


def write_files(folder: Path) -> None:
    """Write what a user brings: a model, a better one, reference and held-out rows, new rows and, later, the truth."""
    data = load_breast_cancer()
    order = np.random.default_rng(0).permutation(len(data.data))
    rows, labels = data.data[order][:, : len(COLUMNS)], [("malignant", "benign")[one] for one in data.target[order]]
    for name, strength in (("model", 1.0), ("better", 0.5)):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=strength))
        joblib.dump(model.fit(rows[:200], labels[:200]), folder / f"{name}.joblib")
    (folder / "reference.csv").write_text(table(rows[200:300], labels[200:300]))
    (folder / "holdout.csv").write_text(table(rows[300:420], labels[300:420]))
    (folder / "new.csv").write_text(table(rows[420:], None))
    (folder / "truth.csv").write_text("\n".join(["outcome", *labels[420:]]) + "\n")
    pq.write_table(pc.read_csv(folder / "holdout.csv"), folder / "holdout.parquet")


def nothing(folder: Path) -> None:
    """Leave the folder empty: the page makes all that it needs."""


def write_project(folder: Path) -> None:
    """Write the files, and a ``kilter.toml`` that names the model."""
    write_files(folder)
    (folder / "kilter.toml").write_text(SETTINGS)


SETUPS = {
    "nothing": nothing,
    "files": write_files,
    "project": write_project,
    "served": write_project,
}
SHARED = "served"  # the setup that runs servers: its pages share one project, in order of name


DAY = """
import kilter, pyarrow.csv as pc, time
from datetime import UTC, datetime
from kilter.contracts.deployment import Deployment
rows = pc.read_csv("holdout.csv")
truth = rows["outcome"].to_pylist()
with kilter.open() as project:
    found = project.predict("cells", rows.drop_columns(["outcome"]).to_pylist())
    labels = [{"prediction_id": one["id"], "label": label} for one, label in zip(found, truth)]
    assert project.feedback("cells", labels) == len(labels)
    sent, until = datetime.now(UTC), time.monotonic() + 60
    while time.monotonic() < until:
        seen = project.app.metadata.read(lambda tx: tx.get(Deployment, "cells")).monitored_until
        if seen is not None and seen > sent:
            break
        time.sleep(0.05)
    else:
        raise AssertionError("the control loop has not looked")
"""
SECOND_VERSION = """
import kilter, time
with kilter.open() as project:
    files = {"data": "reference.csv", "holdout": "holdout.csv"}
    better = project.add("cells", "better.joblib", target="outcome", trust=True, **files)
    assert better.deploy().outcome == "rollout_started"
    until = time.monotonic() + 60
    while project.app.deployer.status("cells").rollout.state != "canary":
        assert time.monotonic() < until
        time.sleep(0.05)
"""
BEFORE = {"second_version": SECOND_VERSION}


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a quick ``kilter``: see ``warm.py``."""
    folder = tmp_path_factory.mktemp("warm")
    process = subprocess.Popen([sys.executable, str(Path(__file__).with_name("warm.py")), str(folder)])
    try:
        until = time.monotonic() + PATIENCE_S
        while not (folder / "kilter").exists():
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.02)
        yield folder
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


@pytest.fixture
def shell(tmp_path: Path, warm: Path, request: pytest.FixtureRequest) -> Iterator[Shell]:
    """A project for one journey: ``request.param`` names its setup."""
    made = Shell(tmp_path, free_port(), free_port(), free_port(), warm)
    name = str(request.param)
    SETUPS[name](tmp_path)
    try:
        if name == SHARED:
            made.start()
            made.python(DAY)
        yield made
    finally:
        made.stop()
        shutil.rmtree(tmp_path / ".kilter", ignore_errors=True)


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, text, line, and the file that it is to be written to."""

    kind: str
    text: str
    line: int
    verb: str = ""
    name: str = ""


def pages() -> list[Path]:
    """The README and every page of the documentation."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path) -> Iterator[Block]:
    """Yield the fenced blocks of a page."""
    text = page.read_text(encoding="utf-8")
    for found in _FENCE.finditer(text):
        mark = _MARK.search(found["marks"])
        line = text.count("\n", 0, found.start("kind")) + 1
        yield Block(found["kind"], found["text"], line, *((mark["verb"], mark["name"]) if mark else ()))


def setup_of(page: Path) -> str:
    """Return the setup that a page declares."""
    found = _SETUP.search(page.read_text(encoding="utf-8"))
    return found["name"] if found else "nothing"


def journeys() -> list[tuple[str, tuple[Path, ...]]]:
    """Return pages that are run, with their setup; those of a served project share one."""
    running = [page for page in pages() if any(one.kind in {"console", "python"} for one in blocks(page))]
    alone = [(setup_of(page), (page,)) for page in running if setup_of(page) != SHARED]
    return [*alone, (SHARED, tuple(page for page in running if setup_of(page) == SHARED))]


def commands(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the commands of a console block, each with the lines that are shown of its output."""
    command, shown = "", list[str]()
    for line in text.replace("\\\n", "").splitlines():
        if line.startswith("$ "):
            if command:
                yield command, shown
            command, shown = " ".join(line[2:].split()) if "'" not in line else line[2:], []
        elif line.strip():
            shown.append(line.strip())
    if command:
        yield command, shown


def require_shown(shown: list[str], printed: str, where: str) -> None:
    """Find every line shown in the output, in order; ``...`` stands for anything."""
    rest = [line.strip() for line in printed.splitlines()]
    for line in shown:
        if line == "...":
            continue
        pattern = ".*".join(re.escape(part) for part in line.split("..."))
        place = next((place for place, one in enumerate(rest) if re.fullmatch(pattern, one)), None)
        assert place is not None, f"{where}: not printed: {line}\n{printed}"
        rest = rest[place + 1 :]


def run(block: Block, shell: Shell, where: str) -> None:
    """Run, write or append one block."""
    if block.verb:
        path = shell.folder / block.name
        before = path.read_text() if block.verb == "append" else ""
        path.write_text(before + block.text)
    elif block.kind == "python":
        shell.python(block.text)
    elif block.kind == "console":
        for command, shown in commands(block.text):
            tool = command.split(maxsplit=1)[0]
            if command.startswith(SKIPPED) or (tool == "curl" and shutil.which("curl") is None):
                sys.stdout.write(f"not run: {where}: {command}\n")
                continue
            require_shown(shown, shell.run(command), f"{where}: {command}")


@pytest.mark.parametrize(
    ("shell", "group"),
    journeys(),
    ids=lambda value: value if isinstance(value, str) else "+".join(page.stem for page in value)[:60],
    indirect=["shell"],
)
def test_every_block_works_as_written(shell: Shell, group: tuple[Path, ...]) -> None:
    for page in group:
        home = shell.folder
        for name in _BEFORE.findall(page.read_text(encoding="utf-8")):
            shell.python(BEFORE[name])
        for block in blocks(page):
            run(block, shell, f"{page.relative_to(ROOT)}:{block.line}")
        shell.folder = home


def toml_blocks() -> list[tuple[str, str]]:
    """Return every toml block with its place."""
    return [
        (f"{page.relative_to(ROOT)}:{block.line}", block.text)
        for page in pages()
        for block in blocks(page)
        if block.kind == "toml"
    ]


@pytest.mark.parametrize(("where", "text"), toml_blocks(), ids=lambda value: value.partition("\n")[0])
def test_every_settings_block_loads(where: str, text: str, tmp_path: Path) -> None:
    model = "" if "[model]" in text else '\n[model]\nname = "churn"\nsource = "model.onnx"\n'
    (tmp_path / "kilter.toml").write_text(text + model)
    assert load(tmp_path).deployments, where
