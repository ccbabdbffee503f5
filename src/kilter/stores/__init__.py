"""Drivers of the storage ports, one per file."""
