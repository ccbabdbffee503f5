"""Reads users' model files in a child process with little power."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import msgspec

from kilter import plugins
from kilter.contracts.ids import Digest
from kilter.engines.isolation import reader
from kilter.engines.isolation.limits import child_environment
from kilter.engines.isolation.wire import raise_fault
from kilter.errors import EngineError, FormatError, NotFound, UnsafeArtifact

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kilter.contracts.format import FormatSpec, Imported, ReferenceTable

__all__ = ["SandboxImporter"]

_MAX_BYTES: Final = 2 << 30
_NONE: Final[Mapping[str, str]] = MappingProxyType({})


class SandboxImporter:
    """An ``Importer`` that never loads a model in its own process.

    Guarantees: a file that can run code is refused without ``trust`` before a child is started; each
    ``read`` has its own child in its own process group, with a nearly empty environment, a folder that is
    removed afterwards, and limits on memory, CPU time and open files. Safe from threads.

    Parameters
    ----------
    python : str
        The interpreter of the child.
    timeout_s : float
        Seconds after which the child is killed.
    memory_mib : int
        Address space that the child may use.
    environment : mapping
        Further variables for the child.
    """

    def __init__(
        self,
        *,
        python: str = sys.executable,
        timeout_s: float = 300.0,
        memory_mib: int = 8192,
        environment: Mapping[str, str] = _NONE,
    ) -> None:
        self._python = python
        self._timeout_s = timeout_s
        self._memory_mib = memory_mib
        self._environment = dict(environment)

    def fingerprint(self, path: str) -> Digest:
        """Return the digest of a file's bytes, without reading them as a model.

        Raises
        ------
        NotFound
            If there is no such file.
        FormatError
            If it is a folder, empty, unreadable, too large, or of no known kind.
        """
        _spec(path)
        return Digest("sha256:" + hashlib.sha256(_bytes(path)).hexdigest())

    def read(self, path: str, reference: ReferenceTable, *, trust: bool) -> Imported:
        """Inspect, load, convert and compare one model file.

        Parameters
        ----------
        path : str
            The file.
        reference : ReferenceTable
            Rows like those that it will score.
        trust : bool
            Whether a file that can run code may be loaded, in the child.

        Returns
        -------
        Imported
            With the original file among its files, under ``original/``.

        Raises
        ------
        NotFound
            If there is no such file.
        UnsafeArtifact
            If the file would run code and ``trust`` is false, or names a global that is not allowed.
        FormatError
            If the file is corrupt, truncated, of no known kind, or needs too much time or memory.
        SchemaMismatch
            If the model does not fit the reference table.
        EngineError
            If no child can be started.
        """
        spec, data = _spec(path), _bytes(path)
        name = Path(path).name
        if spec.runs_code and not name.lower().endswith(spec.safe_suffixes) and not trust:
            msg = f"`{name}` is a pickle, and loading a pickle can run code of its author"
            raise UnsafeArtifact(
                msg,
                where=path,
                hint="add `--trust` if you know where it comes from (it is then read in a child process that lets in "
                "scikit-learn and numpy only), or save it as `.skops` or `.onnx`",
            )
        with tempfile.TemporaryDirectory(prefix="kilter-import-") as folder:
            target = Path(folder) / name
            target.write_bytes(data)
            request = reader.Request(spec.name, str(target), reference, self._memory_mib, int(self._timeout_s) + 1)
            (Path(folder) / reader.REQUEST).write_bytes(msgspec.msgpack.encode(request))
            self._run(folder, name)
            imported = _outcome(folder, name)
        return replace(imported, files={**imported.files, f"original/{name}": data})

    def _run(self, folder: str, name: str) -> None:
        """Run the child to its end, or end it."""
        command = [self._python, "-P", "-m", "kilter.engines.isolation.reader", folder]
        log = Path(folder) / "stderr"
        try:
            with log.open("wb") as stderr:
                child = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=stderr,
                    cwd=folder,
                    env=child_environment(folder, self._environment),
                    start_new_session=True,
                )
        except OSError as error:
            msg = f"no child process can be started: {error.strerror}"
            raise EngineError(msg, where=self._python, hint="run `kilter doctor`") from error
        try:
            code = child.wait(self._timeout_s)
        except subprocess.TimeoutExpired as error:
            msg = f"reading `{name}` took longer than {self._timeout_s:g} s and was ended"
            raise FormatError(
                msg,
                where=name,
                hint="use a smaller reference table, or export the model to ONNX and add the `.onnx` file",
            ) from error
        finally:
            _end(child)
        if code != 0:
            lines = log.read_text(errors="replace").strip().splitlines()
            msg = f"the process that read `{name}` died ({_cause(code)})"
            raise FormatError(
                msg,
                where=name,
                why=lines[-1][:300] if lines else f"it may have needed more than {self._memory_mib} MiB",
                hint="check the file; export the model to ONNX and add the `.onnx` file if it is sound",
            )


def _spec(path: str) -> FormatSpec:
    """Find the format of a file by its suffix."""
    specs = [module.FORMAT for module in plugins.members("formats", "FORMAT")]
    for spec in specs:
        if Path(path).name.lower().endswith(spec.suffixes):
            return spec  # type: ignore[no-any-return] # plug-ins are found by name
    known = ", ".join(f"`{suffix}`" for spec in specs for suffix in spec.suffixes)
    if Path(path).is_dir():
        msg = f"`{path}` is a folder, expected a model file"
        raise FormatError(msg, where=path, hint=f"name a file ending in {known}")
    if not Path(path).exists():
        msg = f"there is no file `{path}`"
        raise NotFound(msg, where=path, hint="check the path, relative to the project's folder")
    msg = f"`{Path(path).name}` is no known kind of model file"
    raise FormatError(msg, where=path, hint=f"use one of {known}")


def _bytes(path: str) -> bytes:
    """Read a model file whole."""
    file = Path(path)
    try:
        if file.is_dir():
            msg = f"`{path}` is a folder, expected a model file"
            raise FormatError(msg, where=path, hint="name the file in it")
        if (size := file.stat().st_size) > _MAX_BYTES:
            msg = f"`{file.name}` has {size >> 20} MiB, more than 2,048"
            raise FormatError(msg, where=path, hint="use a smaller model")
        data = file.read_bytes()
    except FileNotFoundError as error:
        msg = f"there is no file `{path}`"
        raise NotFound(msg, where=path, hint="check the path, relative to the project's folder") from error
    except OSError as error:
        msg = f"`{file.name}` cannot be read: {error.strerror}"
        raise FormatError(msg, where=path, hint="check the file's permissions") from error
    if not data:
        msg = f"`{file.name}` is empty"
        raise FormatError(msg, where=path, hint="save the model again")
    return data


def _outcome(folder: str, name: str) -> Imported:
    """Read what the child wrote."""
    try:
        outcome = msgspec.msgpack.decode((Path(folder) / reader.RESULT).read_bytes(), type=reader.Outcome)
    except (OSError, msgspec.MsgspecError) as error:
        msg = f"the process that read `{name}` left no answer"
        raise FormatError(
            msg,
            where=name,
            why=str(error)[:200],
            hint="run `kilter doctor`",
        ) from error
    if outcome.fault is not None:
        raise_fault(outcome.fault)
    if outcome.imported is None:
        msg = f"the process that read `{name}` left an empty answer"
        raise FormatError(msg, where=name, hint="run `kilter doctor`")
    return outcome.imported


def _end(child: subprocess.Popen[bytes]) -> None:
    """Kill whatever is left of the child's group."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return
    finally:
        child.wait()


def _cause(code: int) -> str:
    """Name an exit code."""
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
