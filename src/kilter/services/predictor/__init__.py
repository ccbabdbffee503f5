"""Answers predictions from an immutable snapshot of loaded versions."""

from kilter.services.predictor.call import Prediction
from kilter.services.predictor.predictor import Predictor
from kilter.services.predictor.variant import Variant

__all__ = ["Prediction", "Predictor", "Variant"]
