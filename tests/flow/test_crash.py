"""Processes are killed at the worst moment: predictions go on, and nothing acknowledged is lost."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from kilter.app import build
from kilter.contracts.log import LogPart, RowQuery
from kilter.settings import load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE_S = 60.0
END_OF_TIME_NS = 2**62


@dataclass
class Project:
    """A folder with two versions of a model, two free ports, and the process that serves them."""

    folder: Path
    port: int
    data_port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {
            "KILTER_SERVER__PORT": str(self.port),
            "KILTER_SERVING__PORT": str(self.data_port),
            "KILTER_SERVING__WORKERS": "2",
            "KILTER_CONTROL__POLL_S": "0.05",
        }

    def run(self, *words: str) -> str:
        call = [sys.executable, "-m", "kilter", *words]
        done = subprocess.run(
            call, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def up(self, *words: str) -> None:
        with (self.folder / "up.log").open("ab") as log:
            call = [sys.executable, "-m", "kilter", "up", *words]
            self.process = subprocess.Popen(call, cwd=self.folder, env=self.environment, stdout=log, stderr=log)
        self.wait_for(lambda: self.get(self.data_port, "/v2/health/ready")["ready"])

    def down(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)

    def get(self, port: int, path: str) -> dict[str, Any]:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            found: dict[str, Any] = json.loads(answer.read())
            return found

    def predict(self) -> dict[str, Any]:
        body = json.dumps({"rows": [{"a": 0.1, "b": -0.2}]}).encode()
        with urllib.request.urlopen(f"http://127.0.0.1:{self.data_port}/predict/shop", data=body, timeout=5) as answer:
            found: dict[str, Any] = json.loads(answer.read())
            return found

    def wait_for(self, claim: Callable[[], object]) -> None:
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            try:
                if claim():
                    return
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                pass
            time.sleep(0.02)
        pytest.fail((self.folder / "up.log").read_text()[-3000:])

    def child(self, module: str) -> int:
        """Return the process id of a child of this project by the module that it runs."""
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                words = (entry / "cmdline").read_bytes().decode().split("\0")
            except (OSError, UnicodeDecodeError):
                continue
            if module in words and any(word.startswith(str(self.folder)) for word in words):
                return int(entry.name)
        return 0


@dataclass
class Client:
    """Sends predictions one after the other until told to stop; remembers what was acknowledged."""

    project: Project
    acknowledged: list[str] = field(default_factory=list)
    failed: int = 0
    stop: threading.Event = field(default_factory=threading.Event)

    def has(self, wanted: int) -> bool:
        return len(self.acknowledged) > wanted

    def run(self) -> None:
        while not self.stop.is_set():
            try:
                self.acknowledged.append(str(self.project.predict()["prediction_id"]))
            except (OSError, HTTPException, ValueError):  # killed before, during or after the headers
                self.failed += 1


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(600, 2))
    labels = np.where(rng.random(600) < 1 / (1 + np.exp(-3 * rows[:, 0])), "yes", "no")
    joblib.dump(LogisticRegression().fit(rows[:300], labels[:300]), tmp_path / "one.joblib")
    joblib.dump(LogisticRegression(C=0.5).fit(rows[:250], labels[:250]), tmp_path / "two.joblib")
    lines = ["a,b,left", *(f"{a:.6f},{b:.6f},{label}" for (a, b), label in zip(rows, labels, strict=True))]
    (tmp_path / "ref.csv").write_text("\n".join(lines) + "\n")
    made = Project(tmp_path, free_port(), free_port())
    made.run("add", "one.joblib", "--name", "shop", "--data", "ref.csv", "--target", "left", "--trust", "--quiet")
    yield made
    if made.process is not None and made.process.poll() is None:
        made.process.kill()
        made.process.wait(PATIENCE_S)


def logged(project: Project) -> set[str]:
    """Return every prediction on record."""
    app = build(load(project.folder))
    try:
        app.collector.collect(app.clock.now())
        parts = app.metadata.read(lambda tx: tx.list(LogPart, limit=5_000))
        rows = app.table.rows(parts, RowQuery(deployment="shop", start_ns=0, end_ns=END_OF_TIME_NS))
        return {str(row).partition(":")[0] for row in np.asarray(rows.ids).tolist()}
    finally:
        app.close()


def test_predictions_outlive_the_control_plane(project: Project) -> None:
    project.up()
    client = Client(project)
    thread = threading.Thread(target=client.run)
    thread.start()
    try:
        project.wait_for(lambda: project.get(project.port, "/v1/health")["turns"] > 0)
        first = project.child("kilter.faces.api")
        assert first
        before = len(client.acknowledged)
        os.kill(first, signal.SIGKILL)
        project.wait_for(lambda: len(client.acknowledged) > before + 50)
        project.wait_for(lambda: project.child("kilter.faces.api") not in (0, first))
        project.wait_for(lambda: project.get(project.port, "/v1/health")["turns"] > 0)
    finally:
        client.stop.set()
        thread.join(PATIENCE_S)
    assert client.failed == 0
    assert project.down() == 0
    assert set(client.acknowledged) <= logged(project)


def test_whatever_is_killed_every_acknowledged_prediction_is_on_record(project: Project) -> None:
    project.up()
    client = Client(project)
    thread = threading.Thread(target=client.run)
    thread.start()
    try:
        for module in ("kilter.faces.serving", "kilter.faces.api", "kilter.faces.serving"):
            wanted = len(client.acknowledged) + 100
            os.kill(project.child(module), signal.SIGKILL)
            project.wait_for(partial(client.has, wanted))
        assert project.process is not None
        os.kill(project.process.pid, signal.SIGKILL)
        project.process.wait(PATIENCE_S)
    finally:
        client.stop.set()
        thread.join(PATIENCE_S)
    project.wait_for(lambda: project.child("kilter.faces.serving") == 0)
    project.up()
    assert project.down() == 0
    assert set(client.acknowledged) <= logged(project)


def test_a_rollback_needs_no_control_plane(project: Project) -> None:
    project.up("--role", "data")
    words = ["add", "two.joblib", "--name", "shop", "--data", "ref.csv", "--target", "left", "--trust", "--quiet"]
    project.run(*words)
    settings = (project.folder / "kilter.toml").read_text()
    (project.folder / "kilter.toml").write_text(settings.replace("one.joblib", "two.joblib"))
    project.run("apply", "--yes", "--quiet")
    project.run("rollback", "shop", "--reason", "three in the morning", "--quiet")
    assert project.predict()["version"] == "1"
    told = project.run("status", "shop", "--json")
    assert "three in the morning" in told
    assert project.down() == 0
