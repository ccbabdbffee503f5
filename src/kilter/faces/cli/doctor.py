"""``kilter doctor``: a read-only look at this machine and project."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sqlite3
import sys
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kilter.errors import KilterError
from kilter.faces.cli.errors import ANSWER_IS_NO, DONE
from kilter.faces.cli.verb import verb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kilter.faces.cli.session import Session

__all__ = ["command"]

_LOW_DISK_BYTES = 1024**3
_FAST_SYNC_S = 30e-6
_SYNCS = 20
_WRITES = 500
_WAITERS = 32


@dataclass(frozen=True, slots=True)
class _Finding:
    """One line of the report."""

    state: str
    what: str
    detail: str
    fix: str = ""


@verb("doctor")
@click.option("--config", "is_config", is_flag=True, help="Print every effective setting with its origin.")
def command(session: Session, *, is_config: bool) -> int:
    """Look for what could go wrong; change nothing. Exit code 1 if something fails."""
    if is_config:
        return _config(session)
    looks: tuple[Callable[[Session], Iterator[_Finding]], ...] = (
        _python,
        _settings,
        _disk,
        _store,
        _ports,
        _models,
        _log,
    )
    findings = [finding for look in looks for finding in _safely(look, session)]
    console = session.console
    for finding in findings:
        console.data(
            f"{console.paint(finding.state, finding.state.ljust(5))} {finding.what.ljust(14)} {finding.detail}"
        )
        if finding.fix:
            console.data(f"      {'':14} fix: {finding.fix}")
    failed = any(finding.state == "fail" for finding in findings)
    console.finish({"findings": findings}, ok=not failed)
    return ANSWER_IS_NO if failed else DONE


def _safely(look: Callable[[Session], Iterator[_Finding]], session: Session) -> Iterator[_Finding]:
    """Turn an error of one look into a finding, so that the others go on."""
    try:
        yield from look(session)
    except KilterError as error:
        yield _Finding("fail", look.__name__.strip("_"), error.message, error.hint or "")
    except OSError as error:
        yield _Finding("fail", look.__name__.strip("_"), str(error))


def _python(_session: Session) -> Iterator[_Finding]:
    """Look at the interpreter and the libraries."""
    yield _Finding(
        "ok",
        "python",
        f"{platform.python_version()} on {platform.platform(terse=True)}, SQLite {sqlite3.sqlite_version}",
    )
    try:
        lines = [line for line in requires("kilter") or [] if "extra ==" not in line]
        needed = [line.split(";")[0].strip() for line in lines]
    except PackageNotFoundError:
        yield _Finding("warn", "libraries", "kilter is run from a checkout and not installed", "run `pip install .`")
        return
    absent = []
    for line in needed:
        name = line.split(">")[0].split("=")[0].split("<")[0].strip()
        try:
            version(name)
        except PackageNotFoundError:
            absent.append(name)
    if absent:
        yield _Finding("fail", "libraries", f"not installed: {', '.join(absent)}", "run `pip install kilter` again")
    else:
        yield _Finding("ok", "libraries", f"{len(needed)} required libraries are there")


def _settings(session: Session) -> Iterator[_Finding]:
    """Look at kilter.toml."""
    settings = session.settings
    names = ", ".join(spec.model.name for spec in settings.deployments) or "no model yet"
    path = Path(settings.project.folder) / "kilter.toml"
    if path.is_file():
        yield _Finding("ok", "settings", f"{path}: {names}")
    else:
        yield _Finding("warn", "settings", f"{path} is not there", "run `kilter add MODEL --data REF --target COL`")


def _disk(session: Session) -> Iterator[_Finding]:
    """Look at room and speed of the disk."""
    home = Path(session.settings.project.home)
    if not home.is_dir():
        yield _Finding(
            "warn", "home folder", f"{home} is not there yet", "run `kilter add MODEL --data REF --target COL`"
        )
        return
    if not os.access(home, os.W_OK):
        yield _Finding("fail", "home folder", f"{home} is not writable", f"run `chmod u+w {home}`")
        return
    folder = Path(session.app.home.folder("tmp"))
    free = shutil.disk_usage(folder).free
    state, fix = (
        ("ok", "") if free > _LOW_DISK_BYTES else ("warn", "make room; predictions are refused when the disk is full")
    )
    yield _Finding(state, "disk", f"{free / 1024**3:.1f} GiB free in {folder.parent}", fix)
    written, alone, together = _write_times(folder / f"probe-{os.getpid()}")
    text = (
        f"a record costs {written * 1e6:.1f} us at `process` (`memory` saves that, and up to 100 ms of records), "
        f"{alone * 1e6:.0f} us at `disk`, {together * 1e6:.0f} us where {_WAITERS} requests wait at once"
    )
    if alone < _FAST_SYNC_S:
        yield _Finding(
            "warn", "log levels", text, "this disk may acknowledge from a cache: `disk` is as honest as the device"
        )
    else:
        yield _Finding("ok", "log levels", text)


def _write_times(probe: Path) -> tuple[float, float, float]:
    """Measure on this disk what a record costs: written, synced alone, synced with others; the probe goes again."""
    record, clock = b"x" * 512, time.perf_counter
    fd = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        marks = [clock()]
        for _ in range(_WRITES):
            os.write(fd, record)
        marks.append(clock())
        os.fdatasync(fd)
        marks.append(clock())
        for _ in range(_SYNCS):
            os.write(fd, record)
            os.fdatasync(fd)
        marks.append(clock())
        for _ in range(_SYNCS):
            for _ in range(_WAITERS):
                os.write(fd, record)
            os.fdatasync(fd)
        marks.append(clock())
    finally:
        os.close(fd)
        probe.unlink(missing_ok=True)
    return (
        (marks[1] - marks[0]) / _WRITES,
        (marks[3] - marks[2]) / _SYNCS,
        (marks[4] - marks[3]) / (_SYNCS * _WAITERS),
    )


def _store(session: Session) -> Iterator[_Finding]:
    """Look at database and audit log."""
    if not _has_home(session):
        return
    state = session.app.governance.verify()
    if state.is_verified:
        yield _Finding("ok", "audit", f"{state.rows} rows, chain verified")
    else:
        yield _Finding(
            "fail", "audit", f"row {state.first_bad} does not fit the chain", "restore meta.db from a backup"
        )


def _ports(session: Session) -> Iterator[_Finding]:
    """Look whether the ports are ours or free."""
    serving, server = session.settings.serving, session.settings.server
    places = {"data plane": (serving.host, serving.port), "control plane": (server.host, server.port)}
    if serving.grpc_port:
        places["gRPC"] = (serving.host, serving.grpc_port)
    is_up = _has_home(session) and session.app.board.supervisor_pid() is not None
    if is_up:
        places = {"data plane": session.app.serving, "control plane": session.dashboard}
    for what, (host, port) in places.items():
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.settimeout(1.0)
            is_taken = probe.connect_ex((host, port)) == 0
        if is_taken and not is_up:
            yield _Finding(
                "fail", what, f"another program listens on {host}:{port}", "choose another port in kilter.toml"
            )
        else:
            yield _Finding("ok", what, f"{host}:{port} {'answers' if is_taken else 'is free'}")


def _models(session: Session) -> Iterator[_Finding]:
    """Load every live model."""
    if not _has_home(session):
        return
    live = session.app.routes.live()
    for route in live.routes if live else ():
        version = session.app.registry.resolve(f"{route.deployment}@{route.champion.version}")
        session.app.scorer.load(version)
        yield _Finding(
            "ok", "model", f"{route.deployment}@{version.number} loads and runs as {version.manifest.runtime}"
        )


def _has_home(session: Session) -> bool:
    """Say whether there is a home folder that can be looked into; without one, doctor makes none."""
    return os.access(session.settings.project.home, os.W_OK | os.X_OK)


def _log(session: Session) -> Iterator[_Finding]:
    """Look for damaged segments, then whether every record that was compacted is in the parts."""
    if not _has_home(session):
        return
    folder = Path(session.app.home.folder("log"))
    damaged = [path.name for path in folder.iterdir() if path.suffix in {".bad", ".torn"}]
    if damaged:
        yield _Finding("warn", "log", f"set aside as damaged: {', '.join(damaged[:3])}", "keep them until you know why")
    else:
        yield _Finding("ok", "log", "no damaged segment")
    ledger = session.app.caretaker.ledger()
    text = f"{ledger.logged} records logged and compacted, {ledger.kept} in {ledger.parts} parts"
    if ledger.doubles:
        text += f", {ledger.doubles} were there twice"
    if ledger.is_even:
        yield _Finding("ok", "log account", text)
    else:
        yield _Finding("fail", "log account", f"{text}: they do not add up", "restore meta.db and tables from a backup")


def _config(session: Session) -> int:
    """Print the effective settings."""
    settings = session.settings
    values = {
        f"{table}.{name}": getattr(getattr(settings, table), name)
        for table in ("project", "server", "serving", "control")
        for name in getattr(settings, table).__dataclass_fields__
    }
    origins = settings.origins
    known = {key.split("_bytes")[0]: origin for key, origin in origins.items()}
    for key, value in values.items():
        session.console.data(f"{key} = {value!r}  # {known.get(key.removesuffix('_bytes'), 'default')}")
    session.console.finish({"values": values, "origins": dict(origins), "python": sys.version})
    return DONE
