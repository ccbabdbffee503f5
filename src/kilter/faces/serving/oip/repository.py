"""The model repository extension: what is loaded, and what this node is told to let go or take back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kilter.errors import Forbidden, KilterError, NotReady
from kilter.faces.serving.oip.description import is_ready

if TYPE_CHECKING:
    from collections.abc import Collection

    from kilter.contracts.journal import Journal
    from kilter.contracts.overrides import Overrides
    from kilter.services.predictor import Predictor

__all__ = ["Repository"]

_MAX_NAME = 80
_UNLOADED = "unloaded on this node until the next route table"
_BROKEN = "its process keeps falling"
_LOAD, _UNLOAD = "load", "unload"
_HARMLESS = frozenset({"unload_dependents"})


class Repository:
    """Models of this node.

    The control plane owns what is to be served, so that loading what is ready is all that a client may
    ask for, unless the node lets clients override the route table.

    Guarantees: every call to load or unload is an event in the log, whatever became of it; what is
    unloaded answers NotReady on every face of every process of the node, until it is loaded again or the
    next route table comes into force.

    Parameters
    ----------
    predictor : Predictor
        Knows what is loaded.
    journal : Journal
        Takes the events.
    overrides : Overrides or None
        Where clients may override the route table; None if they may not.
    """

    def __init__(self, *, predictor: Predictor, journal: Journal, overrides: Overrides | None = None) -> None:
        self._predictor = predictor
        self._journal = journal
        self._overrides = overrides
        self._followed: tuple[int, tuple[int, ...]] = (0, ())

    def index(self, *, is_ready_only: bool = False) -> list[dict[str, Any]]:
        """Return every loaded version with its state.

        Parameters
        ----------
        is_ready_only : bool
            Leave out what cannot be asked.
        """
        predictor = self._predictor
        withheld, broken = predictor.withheld, predictor.broken()
        found = [
            (name, version, _UNLOADED if name in withheld else _BROKEN if (name, version) in broken else "")
            for name in predictor.deployments()
            for version in predictor.versions(name)
        ]
        return [
            {
                "name": name,
                "version": str(version),
                "state": "UNAVAILABLE" if reason else "READY",
                "reason": reason,
            }
            for name, version, reason in found
            if not (is_ready_only and reason)
        ]

    def load(self, name: str, parameters: Collection[str] = ()) -> None:
        """Make a deployment ready: nothing to do if it is.

        Parameters
        ----------
        name : str
            The deployment.
        parameters : collection of str
            Names of the call's parameters; a configuration or files of the caller are not taken.

        Raises
        ------
        Forbidden
            If it is not ready and clients may not override the route table, or parameters are given.
        NotFound
            If there is no such deployment.
        NotReady
            If no table is in force yet, or the model cannot run.
        StoreError
            If the override cannot be written.
        """
        with _Noted(self._journal, _LOAD, name):
            if set(parameters) - _HARMLESS:
                message = "a model cannot be loaded with a configuration or files of the caller"
                raise Forbidden(message, hint="change kilter.toml, then run `kilter apply`")
            if self._overrides is None:
                if not self._is_ready(name):
                    raise _forbidden(_LOAD, name)
                return
            self._predictor.route(name)
            if name in self._predictor.withheld:
                self._predictor.withhold(self._overrides.load(name, generation=self._predictor.generation))
            if not is_ready(self._predictor, name):
                message = f"model `{name}` is loaded, but {_BROKEN}"
                raise NotReady(message, hint="roll back with `kilter rollback`")

    def unload(self, name: str) -> None:
        """Keep a deployment of this node from answering.

        Parameters
        ----------
        name : str
            The deployment.

        Raises
        ------
        Forbidden
            If clients may not override the route table.
        NotFound
            If there is no such deployment.
        NotReady
            If no table is in force yet.
        StoreError
            If the override cannot be written.
        """
        with _Noted(self._journal, _UNLOAD, name):
            if self._overrides is None:
                raise _forbidden(_UNLOAD, name)
            self._predictor.route(name)
            self._predictor.withhold(self._overrides.unload(name, generation=self._predictor.generation))

    def follow(self) -> None:
        """Take over what was said to another process; cheap enough to poll.

        Raises
        ------
        StoreError
            If the overrides cannot be read; what was in force stays.
        """
        if self._overrides is None:
            return
        seen = (self._predictor.generation, self._overrides.token())
        if seen != self._followed:
            self._predictor.withhold(self._overrides.unloaded(seen[0]))
            self._followed = seen

    def _is_ready(self, name: str) -> bool:
        """Say whether a deployment can be asked; one that does not exist cannot."""
        return name in self._predictor.deployments() and is_ready(self._predictor, name)


class _Noted:
    """Writes down that somebody called, and how it ended."""

    def __init__(self, journal: Journal, verb: str, name: str) -> None:
        self._journal = journal
        self._verb = verb
        self._name = name[:_MAX_NAME]

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        """Write the event."""
        ended = error.code if isinstance(error, KilterError) else "done" if error is None else "fault"
        self._journal.event(self._verb, f"a client asked to {self._verb} this model: {ended}", deployment=self._name)


def _forbidden(verb: str, name: str) -> Forbidden:
    """Build the error of a call that only the control plane may answer."""
    return Forbidden(
        f"model `{name[:_MAX_NAME]}` cannot be {verb}ed by a client: its route table says what is served,"
        " which `kilter apply` changes",
        hint='change kilter.toml and run `kilter apply`, or set `repository_control = "local"` under [serving]',
    )
