"""``python -m kilter.demo``: the whole loop on real data, in one sitting."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from kilter.demo.run import Options, run
from kilter.errors import KilterError

if TYPE_CHECKING:
    from types import FrameType


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """Turn a request to end into the exception that lets everything be stopped in order."""
    raise KeyboardInterrupt


def main() -> int:
    """Read the options, run the demo, return its exit code."""
    parser = argparse.ArgumentParser(prog="kilter demo")
    parser.add_argument("--exit", dest="is_exit", action="store_true")
    parser.add_argument("--json", dest="is_json", action="store_true")
    parser.add_argument("--quiet", dest="is_quiet", action="store_true")
    parser.add_argument("--speed", type=float, default=0.0)
    parser.add_argument("--dir", dest="folder", type=Path)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--data-port", type=int, default=0)
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="kilter-demo-"))
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return run(Options(**{**vars(given), "folder": folder.absolute()}))
    except KilterError as error:
        sys.stderr.write(f"error: {error.message}\n")
        for name, value in (("why:", error.why), ("fix:", error.hint), ("where:", error.where or str(folder))):
            if value:
                sys.stderr.write(f"{name:6} {value}\n")
        return 3
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())
