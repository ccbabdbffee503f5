"""HTTP: one request in, one whole answer out, whatever the sender does."""
