"""BentoML's service: an array in, probabilities out; its own worker, no log of each request."""

# ruff: noqa: INP001 - a script of another environment

import os

import bentoml
import joblib
import numpy as np


@bentoml.service(workers=1, traffic={"timeout": 60}, logging={"access": {"enabled": False}})
class Cancer:
    """The model."""

    def __init__(self) -> None:
        """Load."""
        self._model = joblib.load(os.environ["PEER_MODEL"])  # noqa: TID251 - written by serve.py

    @bentoml.api
    def predict(self, rows: np.ndarray) -> np.ndarray:
        """Answer rows."""
        return self._model.predict_proba(rows)
