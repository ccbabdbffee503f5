"""Answers predictions from an immutable snapshot of loaded versions."""

from kilter.services.predictor._call import Prediction
from kilter.services.predictor._snapshot import Target
from kilter.services.predictor._variant import Variant
from kilter.services.predictor.predictor import Predictor

__all__ = ["Prediction", "Predictor", "Target", "Variant"]
