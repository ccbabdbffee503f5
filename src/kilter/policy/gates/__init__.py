"""Judges: each turns readings into one verdict with its reason, one file per kind of rule."""
