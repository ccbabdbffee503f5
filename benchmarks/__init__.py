"""Measurements against a peer or a bare loop on the same machine, in the same run."""
