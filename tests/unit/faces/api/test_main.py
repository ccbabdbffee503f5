"""The control plane as a process: starts, says what is wrong, ends cleanly."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kilter.errors import Conflict, StoreError
from kilter.faces.api.main import bind, is_gone, main
from kilter.settings import transfer
from kilter.settings.tree import ControlSettings, ProjectSettings, ServerSettings, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = Path(__file__).parents[4] / "src"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        project=ProjectSettings(name="trial", home=str(tmp_path / ".kilter"), folder=str(tmp_path)),
        server=ServerSettings(port=free_port()),
        control=ControlSettings(poll_s=0.05),
    )


@pytest.fixture
def path(settings: Settings, tmp_path: Path) -> Path:
    target = tmp_path / "settings.json"
    transfer.write(settings, target)
    return target


def start(path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "kilter.faces.api", "--settings", str(path)],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def process(path: Path) -> Iterator[subprocess.Popen[str]]:
    child = start(path)
    yield child
    if child.poll() is None:
        child.kill()
    child.communicate(timeout=30)


def health(port: int, child: subprocess.Popen[str]) -> dict[str, object]:
    """Wait until the control plane leads, and return how it is."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and child.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/health", timeout=5) as answer:
                found: dict[str, object] = json.load(answer)
        except OSError:
            time.sleep(0.05)
            continue
        if found["is_leader"]:
            return found
        time.sleep(0.05)
    message = f"the control plane did not come up (exit code {child.poll()})"
    raise AssertionError(message)


def test_it_serves_leads_and_ends_cleanly(settings: Settings, process: subprocess.Popen[str]) -> None:
    assert health(settings.server.port, process)["ok"] is True
    with urllib.request.urlopen(f"http://127.0.0.1:{settings.server.port}/", timeout=5) as answer:
        assert "No model yet" in answer.read().decode()
    process.send_signal(signal.SIGTERM)
    _, log = process.communicate(timeout=30)
    assert process.returncode == 0, log
    lines = [json.loads(line) for line in log.splitlines()]
    assert lines[-1]["event"] == "control.stopped"
    assert lines[-1]["is_clean"] is True


def test_a_killed_control_plane_is_succeeded_at_once(
    settings: Settings, path: Path, process: subprocess.Popen[str]
) -> None:
    health(settings.server.port, process)
    process.kill()
    process.communicate(timeout=30)
    began = time.monotonic()
    second = start(path)
    try:
        health(settings.server.port, second)
        assert time.monotonic() - began < 15  # the lease of the dead one has not run out
        second.send_signal(signal.SIGINT)
        second.communicate(timeout=30)
        assert second.returncode == 0
    finally:
        if second.poll() is None:
            second.kill()
            second.communicate(timeout=30)


def test_a_busy_port_is_said_in_four_lines(settings: Settings, path: Path) -> None:
    with socket.create_server(("127.0.0.1", settings.server.port)):
        child = start(path)
        _, said = child.communicate(timeout=60)
    assert child.returncode == 1
    assert [line.partition(":")[0] for line in said.splitlines()] == ["error", "where", "why", "fix"]
    assert f"port {settings.server.port} is in use" in said


def test_missing_settings_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        assert main(["--settings", str(tmp_path / "none.json")]) == 1
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert capsys.readouterr().err.startswith("error: ")


def test_ports_that_cannot_be_had_are_told_apart() -> None:
    with bind("127.0.0.1", 0) as listener, pytest.raises(Conflict):
        bind("127.0.0.1", listener.getsockname()[1])
    with pytest.raises(StoreError):
        bind("192.0.2.1", 0)


def test_only_a_dead_process_of_this_machine_is_gone() -> None:
    here = socket.gethostname()
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait(30)
    assert is_gone(f"{here}@{child.pid}.1")
    assert not is_gone(f"{here}@{os.getpid()}.1")
    assert not is_gone(f"elsewhere@{child.pid}.1")
    assert not is_gone("nonsense")
