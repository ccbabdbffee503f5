"""How well a model answers, one file per metric, named as in scikit-learn."""
