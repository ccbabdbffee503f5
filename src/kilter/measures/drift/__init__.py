"""Distances between a reference and a window: two histograms in, a reading out."""
