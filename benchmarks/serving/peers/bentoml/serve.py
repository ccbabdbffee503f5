"""BentoML: ``prepare FOLDER`` or ``serve FOLDER PORT``, in BentoML's own environment."""

# ruff: noqa: INP001 - a script of another environment

import os
import sys
from pathlib import Path


def prepare(folder: Path) -> None:
    """Train, and write the model."""
    import joblib  # noqa: PLC0415 - only here
    from sklearn.datasets import load_breast_cancer  # noqa: PLC0415
    from sklearn.ensemble import HistGradientBoostingClassifier  # noqa: PLC0415

    data = load_breast_cancer()
    joblib.dump(HistGradientBoostingClassifier(random_state=0).fit(data.data, data.target), folder / "model.joblib")


def serve(folder: Path, port: int) -> None:
    """Become ``bentoml serve`` (production mode is its default)."""
    os.environ |= {
        "PEER_MODEL": str(folder / "model.joblib"),
        "BENTOML_HOME": str(folder / "home"),
        "BENTOML_DO_NOT_TRACK": "True",
    }
    command = Path(sys.executable).with_name("bentoml")
    here = str(Path(__file__).parent)
    argv = ["serve", "service:Cancer", "--host", "127.0.0.1", "--port", str(port), "--working-dir", here]
    os.environ["PATH"] = f"{command.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    os.execv(command, [str(command), *argv])  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    if sys.argv[1] == "prepare":
        prepare(Path(sys.argv[2]))
    else:
        serve(Path(sys.argv[2]), int(sys.argv[3]))
