"""Model formats, one per file."""
