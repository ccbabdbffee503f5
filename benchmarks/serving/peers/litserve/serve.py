"""LitServe: ``prepare FOLDER`` or ``serve FOLDER PORT``, in LitServe's own environment."""

# ruff: noqa: INP001 - a script of another environment

import sys
from pathlib import Path
from typing import Any

import joblib
import litserve as ls
import numpy as np


class Cancer(ls.LitAPI):
    """The model behind LitServe's four steps."""

    def setup(self, device: str) -> None:
        """Load, in the worker."""
        del device
        self._model = joblib.load(Path(sys.argv[2]) / "model.joblib")  # noqa: TID251 - written by prepare

    def decode_request(self, request: dict[str, Any]) -> np.ndarray:
        """Read the rows."""
        return np.asarray(request["rows"], dtype=np.float64)

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Answer rows."""
        return self._model.predict_proba(x)

    def encode_response(self, output: np.ndarray) -> dict[str, Any]:
        """Write the probabilities."""
        return {"probabilities": output.tolist()}


def prepare(folder: Path) -> None:
    """Train, and write the model."""
    from sklearn.datasets import load_breast_cancer  # noqa: PLC0415 - only here
    from sklearn.ensemble import HistGradientBoostingClassifier  # noqa: PLC0415

    data = load_breast_cancer()
    joblib.dump(HistGradientBoostingClassifier(random_state=0).fit(data.data, data.target), folder / "model.joblib")


def serve(port: int) -> None:
    """Serve with one worker and one front process."""
    server = ls.LitServer(Cancer(), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=port, num_api_servers=1, log_level="warning", generate_client_file=False)


if __name__ == "__main__":
    if sys.argv[1] == "prepare":
        prepare(Path(sys.argv[2]))
    else:
        serve(int(sys.argv[3]))
