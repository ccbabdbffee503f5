"""The first day of a user: from a file to served, labelled, explained and rolled back, by real processes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE_S = 60.0
COLUMNS = 4


@dataclass(frozen=True)
class Project:
    """A folder with two models and their data, and two free ports."""

    folder: Path
    port: int
    data_port: int

    @property
    def environment(self) -> dict[str, str]:
        """Variables that set the ports and a quick loop."""
        # as installed: modules are compiled once, not at each command
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        return kept | {
            "PYTHONPYCACHEPREFIX": str(self.folder / "bytecode"),
            "KILTER_SERVER__PORT": str(self.port),
            "KILTER_SERVING__PORT": str(self.data_port),
            "KILTER_SERVING__WORKERS": "1",
            "KILTER_CONTROL__POLL_S": "0.05",
        }

    def run(self, *words: str, code: int = 0) -> dict[str, Any]:
        """Run one command with ``--json`` and return its object."""
        done = subprocess.run(
            [sys.executable, "-m", "kilter", *words, "--json"],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        assert found["schema"] == f"kilter.{words[0]}/1"
        return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def write(path: Path, rows: np.ndarray[Any, Any], labels: list[str] | None) -> None:
    head = [f"c{i}" for i in range(COLUMNS)] + (["outcome"] if labels is not None else [])
    lines = [",".join(head)]
    for i, row in enumerate(rows):
        lines.append(",".join([f"{cell:.6f}" for cell in row] + ([labels[i]] if labels is not None else [])))
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("journey")
    data = load_breast_cancer()
    order = np.random.default_rng(0).permutation(len(data.data))
    rows, labels = data.data[order][:, :COLUMNS], [("bad", "good")[label] for label in data.target[order]]
    for name, penalty, size in (("model", 1.0, 250), ("better", 0.5, 280)):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=penalty))
        joblib.dump(model.fit(rows[:size], labels[:size]), folder / f"{name}.joblib")
    write(folder / "reference.csv", rows[:300], labels[:300])
    write(folder / "holdout.csv", rows[300:500], labels[300:500])
    write(folder / "new.csv", rows[500:], None)
    (folder / "truth.json").write_text(json.dumps(labels[500:]))
    return Project(folder, free_port(), free_port())


@pytest.fixture(scope="module")
def served(project: Project) -> Iterator[Project]:
    words = ["add", "model.joblib", "--name", "cells", "--data", "reference.csv", "--holdout", "holdout.csv"]
    added = project.run(*words, "--target", "outcome", "--trust")
    assert (added["data"]["version"], added["data"]["is_new"]) == (1, True)
    log = (project.folder / "up.log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", "kilter", "up"], cwd=project.folder, env=project.environment, stdout=log, stderr=log
    )
    try:
        wait_until_ready(project, process)
        yield project
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(PATIENCE_S)
        log.close()
    assert code == 0, (project.folder / "up.log").read_text()


def wait_until_ready(project: Project, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        assert process.poll() is None, (project.folder / "up.log").read_text()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{project.data_port}/v2/health/ready", timeout=1) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.05)
    pytest.fail((project.folder / "up.log").read_text())


def test_a_model_is_checked_served_labelled_explained_replaced_and_rolled_back(served: Project) -> None:
    assert served.run("check")["data"]["state"] == "pass"
    status = served.run("status")["data"]
    assert [(item["deployment"], item["champion"]) for item in status["items"]] == [("cells", 1)]

    predicted = served.run("predict", "--in", "new.csv")["data"]["predictions"]
    truth = json.loads((served.folder / "truth.json").read_text())
    assert len(predicted) == len(truth)
    assert np.mean([one["label"] == label for one, label in zip(predicted, truth, strict=True)]) > 0.8

    lines = [
        json.dumps({"prediction_id": p["prediction_id"], "label": t}) for p, t in zip(predicted, truth, strict=True)
    ]
    (served.folder / "labels.jsonl").write_text("\n".join(lines))
    assert served.run("feedback", "labels.jsonl")["data"]["accepted"] == len(truth)
    found = served.run("explain", predicted[0]["prediction_id"])["data"]
    assert found["version"] == 1
    assert found["found"][0]["label"] == truth[0]

    words = ["add", "better.joblib", "--name", "cells", "--data", "reference.csv", "--holdout", "holdout.csv"]
    assert served.run(*words, "--target", "outcome", "--trust")["data"]["version"] == 2
    assert served.run("plan", "--out", "p.plan", "--exit-code", code=1)["data"]["plans"][0]["number"] == 2
    (applied,) = served.run("apply", "p.plan", "--yes")["data"]["applied"]
    assert applied["outcome"] == "rollout_started"
    assert served.run("rollback", "--reason", "a trial")["data"]["champion"] == 1
    assert served.run("apply", "--yes", code=1)["error"]["code"] == "rollout.on_hold"
    assert served.run("export", "audit", "--verify")["data"]["verified"] is True
    findings = served.run("doctor")["data"]["findings"]
    assert {finding["state"] for finding in findings} <= {"ok", "warn"}
    assert served.run("up", code=1)["error"]["code"] == "state.conflict"
