"""Nothing loads that was not asked for. Each claim runs in a fresh interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Final

# Loaded by none of the quick commands; each would cost more than the command itself.
HEAVY: Final = {"duckdb", "fastapi", "numpy", "pyarrow", "rich", "scipy", "sklearn", "starlette"}

# Loaded by no process that answers predictions: an outage of the control plane cannot reach what is not there.
CONTROL_PLANE: Final = {"alembic", "duckdb", "fastapi", "pandas", "sklearn", "sqlalchemy"}

REPORT: Final = "\nimport sys; print('LOADED', *sorted({name.partition('.')[0] for name in sys.modules}))"

VERSION: Final = """
import sys
sys.argv = ["kilter", "--version"]
from kilter.faces.cli import main
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
"""

SERVING: Final = """
import importlib, pkgutil
import kilter.faces.serving as serving
for module in pkgutil.walk_packages(serving.__path__, serving.__name__ + "."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
"""


def loaded_by(code: str) -> set[str]:
    """Top-level names in `sys.modules` after the code ran; coverage's own start-up hook is kept out."""
    quiet = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    done = subprocess.run(
        [sys.executable, "-c", code + REPORT], capture_output=True, text=True, check=False, timeout=60, env=quiet
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split()[1:])


def test_the_package_loads_no_numpy() -> None:
    assert not loaded_by("import kilter") & HEAVY


def test_the_version_loads_nothing_heavy() -> None:
    assert not loaded_by(VERSION) & HEAVY


def test_the_data_plane_loads_nothing_of_the_control_plane() -> None:
    assert not loaded_by(SERVING) & CONTROL_PLANE
