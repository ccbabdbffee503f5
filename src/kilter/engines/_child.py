"""Main of a training child: limits first, then the user's function, then its model file.

Run by path, so it imports nothing of kilter: `_child.py MODULE:FUNCTION PYTHON_PATH EXIT_FILE MIB SECONDS`.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import signal
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

_SUFFIXES = (".skops", ".joblib", ".onnx")


def main(arguments: list[str]) -> int:
    """Run one task and leave word of how it ended."""
    command, python_path, exit_file, mib, seconds = arguments
    _limit(int(mib) * 2**20, int(seconds))
    sys.path.insert(0, python_path or ".")
    try:
        _train(command, json.load(sys.stdin))
    except BaseException as error:  # noqa: BLE001 - a user's function may raise anything, and its word has to be kept
        traceback.print_exc()
        _leave(exit_file, {"ok": False, "error": f"{type(error).__name__}: {error}"})
        return 1
    _leave(exit_file, {"ok": True, "error": ""})
    return 0


def _train(command: str, request: dict[str, object]) -> None:
    """Call the function; save the estimator that it returns, unless it wrote a file itself."""
    module, _, name = command.partition(":")
    function = getattr(importlib.import_module(module), name)  # noqa: TID251 - this is the user's child, not kilter
    output = str(request["output_path"])
    model = function(str(request["data_path"]), request)
    if model is None or any(Path(output + suffix).exists() for suffix in _SUFFIXES):
        return
    import joblib  # noqa: PLC0415 - only where an estimator has to be saved

    spool = f"{output}.tmp"
    joblib.dump(model, spool)
    Path(spool).replace(f"{output}.joblib")


def _limit(memory_bytes: int, seconds: int) -> None:
    """Limit address space, processor time and core files; a timer ends a child that only waits."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
    signal.signal(signal.SIGALRM, _late)
    signal.alarm(seconds)


def _late(_number: int, _frame: FrameType | None) -> None:
    """End a task that takes too long."""
    message = "training took longer than its deadline"
    raise TimeoutError(message)


def _leave(path: str, word: dict[str, object]) -> None:
    """Write the exit file, whole or not at all."""
    spool = Path(f"{path}.tmp")
    with spool.open("w", encoding="utf-8") as file:
        json.dump(word, file)
        file.flush()
        os.fsync(file.fileno())
    spool.replace(path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
