"""MLServer with its scikit-learn runtime, in its own environment: ``prepare FOLDER`` or ``serve FOLDER PORT``."""

# ruff: noqa: INP001 - a script of another environment

import json
import os
import sys
from pathlib import Path

_NAME = "cancer"


def prepare(folder: Path) -> None:
    """Train, and write the model with the settings that describe it."""
    import joblib  # noqa: PLC0415 - only here
    from sklearn.datasets import load_breast_cancer  # noqa: PLC0415
    from sklearn.ensemble import HistGradientBoostingClassifier  # noqa: PLC0415

    data = load_breast_cancer()
    joblib.dump(HistGradientBoostingClassifier(random_state=0).fit(data.data, data.target), folder / "model.joblib")
    settings = {
        "name": _NAME,
        "implementation": "mlserver_sklearn.SKLearnModel",
        "parameters": {"uri": str(folder / "model.joblib"), "version": "1"},
    }
    (folder / "model-settings.json").write_text(json.dumps(settings))


def serve(folder: Path, port: int) -> None:
    """Become ``mlserver start``: one inference worker, its default, and nothing logged per request."""
    settings = {
        "host": "127.0.0.1",
        "http_port": port,
        "grpc_port": port + 1,
        "metrics_port": port + 2,
        "parallel_workers": 1,
        "debug": False,
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    os.chdir(folder)
    command = Path(sys.executable).with_name("mlserver")
    os.execv(command, [str(command), "start", str(folder)])  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    if sys.argv[1] == "prepare":
        prepare(Path(sys.argv[2]))
    else:
        serve(Path(sys.argv[2]), int(sys.argv[3]))
