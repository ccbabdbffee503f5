"""Finds models and their versions by name, number, digest or deployment."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from kilter.contracts.deployment import Deployment
from kilter.contracts.model import Model, ModelVersion
from kilter.errors import UnknownName

if TYPE_CHECKING:
    from kilter.contracts.ids import Digest
    from kilter.contracts.metadata import MetadataStore, ReadTx

__all__ = ["SOURCE", "Shelf"]

SOURCE: Final = "source.json"
"""The file of a version that says what it was made from."""

_PAGE: Final = 5_000
_DIGEST_PREFIX: Final = re.compile(r"sha256:([0-9a-f]{6,64})")


class Shelf:
    """The reading side of the registry.

    Guarantees: each answer is one consistent view of the store.

    Parameters
    ----------
    metadata : MetadataStore
        Where models and versions are kept.
    """

    def __init__(self, metadata: MetadataStore) -> None:
        self._metadata = metadata

    def models(self) -> tuple[Model, ...]:
        """Return all models, oldest first.

        Raises
        ------
        StoreError
            If the store fails.
        """
        return self._metadata.read(lambda tx: tx.list(Model, limit=_PAGE))

    def versions(self, model: str) -> tuple[ModelVersion, ...]:
        """Return the versions of a model, oldest first.

        Raises
        ------
        UnknownName
            If there is no such model.
        """

        def fetch(tx: ReadTx) -> tuple[ModelVersion, ...]:
            found = tx.list(ModelVersion, where={"model_name": model}, limit=_PAGE)
            if not found:
                noun = "model"
                raise UnknownName.among(noun, model, (item.name for item in tx.list(Model, limit=_PAGE)))
            return found

        return tuple(sorted(self._metadata.read(fetch), key=lambda version: version.number))

    def resolve(self, reference: str) -> ModelVersion:
        """Return the version of ``name``, ``name@7``, ``name@live``, ``name@last_good`` or ``name@sha256:ab12cd``.

        Parameters
        ----------
        reference : str
            A bare name means the newest version.

        Returns
        -------
        ModelVersion

        Raises
        ------
        UnknownName
            If there is no such model or version, or several begin with the digits given.
        """
        name, _, wanted = reference.partition("@")
        found = self.versions(name)
        if not wanted:
            return found[-1]
        if wanted in ("live", "last_good"):
            return self._deployed(name, wanted, found)
        digits = _DIGEST_PREFIX.fullmatch(wanted)
        matches = [
            version
            for version in found
            if (version.digest.startswith(wanted) if digits else wanted.isdecimal() and version.number == int(wanted))
        ]
        if len(matches) != 1:
            known = [str(version.number) for version in matches or found]
            msg = f"version of `{name}`"
            raise UnknownName.among(msg, wanted, known)
        return matches[0]

    def made_from(self, name: str, source: Digest) -> ModelVersion | None:
        """Return the version that was registered from the same source, if any.

        Raises
        ------
        StoreError
            If the store fails.
        """
        found = self._metadata.read(lambda tx: tx.list(ModelVersion, where={"model_name": name}, limit=_PAGE))
        for version in found:
            is_whole = version.manifest.calibration is None
            if is_whole and any(entry.path == SOURCE and entry.digest == source for entry in version.manifest.files):
                return version
        return None

    def _deployed(self, name: str, which: str, found: tuple[ModelVersion, ...]) -> ModelVersion:
        """Return the champion, or the one before it."""
        deployment = self._metadata.read(lambda tx: tx.get(Deployment, name))
        number = None if deployment is None else deployment.champion if which == "live" else deployment.previous
        for version in found:
            if version.number == number:
                return version
        why = f"`{name}` has no live version" if which == "live" else f"`{name}` has no version to go back to"
        msg = f"unknown version of `{name}` `{which}`"
        raise UnknownName(msg, why=why, hint=f"run `kilter apply`, or name a number: `{name}@1`")
