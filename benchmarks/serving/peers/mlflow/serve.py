"""MLflow's scoring server: ``prepare FOLDER`` or ``serve FOLDER PORT``, in MLflow's own environment."""

# ruff: noqa: INP001 - a script of another environment

import os
import sys
from pathlib import Path


def prepare(folder: Path) -> None:
    """Train, and save in MLflow's format with probabilities as the answer."""
    import mlflow.sklearn  # noqa: PLC0415 - only here
    from sklearn.datasets import load_breast_cancer  # noqa: PLC0415
    from sklearn.ensemble import HistGradientBoostingClassifier  # noqa: PLC0415

    data = load_breast_cancer()
    model = HistGradientBoostingClassifier(random_state=0).fit(data.data, data.target)
    mlflow.sklearn.save_model(
        model,
        str(folder / "model"),
        pyfunc_predict_fn="predict_proba",
        serialization_format="cloudpickle",
        pip_requirements=["mlflow", "scikit-learn"],
    )


def serve(folder: Path, port: int) -> None:
    """Become ``mlflow models serve`` with one worker in this environment."""
    command = Path(sys.executable).with_name("mlflow")
    argv = ["models", "serve", "--model-uri", str(folder / "model"), "--host", "127.0.0.1", "--port", str(port)]
    # Its uvicorn is found on the path.
    os.environ["PATH"] = f"{command.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    os.environ["UVICORN_LOG_LEVEL"] = "warning"  # no line per request
    os.chdir(folder)
    os.execv(command, [str(command), *argv, "--workers", "1", "--env-manager", "local"])  # noqa: S606 - no shell


if __name__ == "__main__":
    if sys.argv[1] == "prepare":
        prepare(Path(sys.argv[2]))
    else:
        serve(Path(sys.argv[2]), int(sys.argv[3]))
