"""What a node was told beside its route table."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Overrides"]


class Overrides(Protocol):
    """Deployments that this node does not answer for, by order of a client, until the next table.

    Guarantees: readers see whole sets only; what was said for one generation of the route table says
    nothing about another. Safe from several processes.
    """

    def unloaded(self, generation: int) -> frozenset[str]:
        """Return the deployments that are unloaded while this generation is in force.

        Raises
        ------
        StoreError
            If the file cannot be read.
        """
        ...

    def unload(self, deployment: str, *, generation: int) -> frozenset[str]:
        """Keep a deployment from answering; return all that are unloaded then.

        Raises
        ------
        StoreError
            If it cannot be written.
        """
        ...

    def load(self, deployment: str, *, generation: int) -> frozenset[str]:
        """Let a deployment answer again; return all that are unloaded then.

        Raises
        ------
        StoreError
            If it cannot be written.
        """
        ...

    def token(self) -> tuple[int, ...]:
        """Return numbers that change when anything was said; cheap enough to poll.

        Raises
        ------
        StoreError
            Never: what cannot be seen has not changed.
        """
        ...
