"""``python -m tests.fuzz.schema --program FILE``: schemathesis on the document that a real node publishes.

Schemathesis has an environment of its own, which ``make fuzz`` makes; it is a program here, not a library.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz.plane import Plane

_CONFIG = """
[checks]
not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", "503", "504"]
"""
"""Deadlines are part of what is tried, and some are too short."""

_CHECKS = (
    *("not_a_server_error", "status_code_conformance", "content_type_conformance"),
    *("response_headers_conformance", "response_schema_conformance", "unsupported_method"),
)
"""Whether right data is taken, and wrong data refused, the schemas cannot say: rows and tensors belong together."""


def main(arguments: list[str] | None = None) -> int:
    """Start one node for each model, let schemathesis loose on it; 1 if it finds anything."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.schema", description=__doc__)
    parser.add_argument("--program", required=True, help="path of schemathesis")
    parser.add_argument("--examples", type=int, default=200, help="most requests of a kind and path")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    program = Path(given.program).absolute()
    return max(_try(program, deployment, examples=given.examples, seed=given.seed) for deployment in ("sum", "mixed"))


def _try(program: Path, deployment: str, *, examples: int, seed: int) -> int:
    """Run schemathesis on a node that serves one model."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        plane = Plane(Path(folder), [deployment])
        plane.launch(default_deployment=deployment)
        try:
            config = Path(folder) / "schemathesis.toml"
            config.write_text(_CONFIG)
            argv = [str(program), "--config-file", str(config), "run", f"http://127.0.0.1:{plane.port}/openapi.json"]
            argv += ["--checks", ",".join(_CHECKS), "--phases", "examples,coverage,fuzzing"]
            argv += ["--max-examples", str(examples), "--seed", str(seed), "--no-color"]
            told = subprocess.run(argv, cwd=folder, env={**os.environ, "HOME": folder}, check=False)
            complaints = plane.complaints()
        finally:
            plane.stop()
    sys.stdout.write(f"the log has: {complaints}\n" if complaints else "")
    return 1 if told.returncode or complaints else 0


if __name__ == "__main__":
    sys.exit(main())
