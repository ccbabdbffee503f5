"""The same metrics, part by part of the data."""
