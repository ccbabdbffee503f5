"""The exception tree: what failed, and what the caller can do about it.

::

    KilterError
    ├── InputError              fix the call            (also a ValueError)
    │   ├── InvalidRequest      input.invalid
    │   ├── SchemaMismatch      input.schema
    │   ├── UnknownName         input.unknown_name      (also a LookupError)
    │   ├── SettingsError       settings.invalid
    │   ├── TooLarge            input.too_large
    │   ├── HeadersTooLarge     input.headers
    │   ├── UnsupportedMedia    input.media
    │   └── UnsafeArtifact      artifact.unsafe
    ├── StateError              look again, then decide
    │   ├── NotFound            state.not_found
    │   ├── Conflict            state.conflict
    │   ├── WorldMoved          state.world_moved
    │   ├── NotReady            state.not_ready
    │   └── AlreadyFinal        state.final
    ├── Refused                 a rule said no
    │   ├── GateFailed          gate.failed
    │   ├── Inconclusive        gate.inconclusive
    │   ├── OnHold              rollout.on_hold
    │   ├── BudgetSpent         budget.spent
    │   ├── ApprovalMissing     approval.missing
    │   ├── Unauthenticated     auth.missing
    │   └── Forbidden           auth.forbidden
    ├── Busy                    retry after ``retry_after_s``
    │   ├── Overloaded          busy.overloaded
    │   ├── QuotaExceeded       busy.quota
    │   └── DeadlineExceeded    busy.deadline
    ├── BackendError            the operator acts       (keeps ``__cause__``)
    │   ├── StoreError          backend.store
    │   ├── EngineError         backend.engine
    │   ├── JournalUnavailable  backend.journal
    │   ├── FormatError         backend.format
    │   ├── ModelFailed         model.failed
    │   └── MissingExtra        backend.missing_extra   (also an ImportError)
    └── IntegrityError          stop
        ├── ChecksumMismatch    integrity.checksum
        ├── SignatureInvalid    integrity.signature
        └── AuditBroken         integrity.audit

Faces translate classes to protocol codes by one table each, looked up along the
method resolution order, so a family's row covers leaves that have none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import TypeAlias

    Detail: TypeAlias = "str | int | float | bool | list[Detail] | dict[str, Detail] | None"

__all__ = [
    "AlreadyFinal",
    "ApprovalMissing",
    "AuditBroken",
    "BackendError",
    "BudgetSpent",
    "Busy",
    "ChecksumMismatch",
    "Conflict",
    "DeadlineExceeded",
    "EngineError",
    "Forbidden",
    "FormatError",
    "GateFailed",
    "HeadersTooLarge",
    "Inconclusive",
    "InputError",
    "IntegrityError",
    "InvalidRequest",
    "JournalUnavailable",
    "KilterError",
    "MissingExtra",
    "ModelFailed",
    "NotFound",
    "NotReady",
    "OnHold",
    "Overloaded",
    "QuotaExceeded",
    "Refused",
    "SchemaMismatch",
    "SettingsError",
    "SignatureInvalid",
    "StateError",
    "StoreError",
    "TooLarge",
    "Unauthenticated",
    "UnknownName",
    "UnsafeArtifact",
    "UnsupportedMedia",
    "WorldMoved",
]


class KilterError(Exception):
    """Anything kilter refuses or fails to do.

    Parameters
    ----------
    message : str
        One line: what failed, which named thing, expected and got. No full stop.
    where : str or None
        File:line:column, row, or resource.
    why : str or None
        The cause, where the message alone does not give it.
    hint : str or None
        How to fix it; starts with a verb, commands in backticks.
    details : mapping or None
        Further JSON-safe facts for programs (``field``, ``near``, ``errors`` ...).

    Attributes
    ----------
    is_counted : bool
        Whether the metrics hold it already, under the version that failed.
    """

    code: ClassVar[str] = "kilter.error"
    is_counted: bool = False

    def __init__(
        self,
        message: str,
        *,
        where: str | None = None,
        why: str | None = None,
        hint: str | None = None,
        details: Mapping[str, Detail] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.why = why
        self.hint = hint
        self.details: dict[str, Detail] = dict(details or {})


class InputError(KilterError, ValueError):
    """The call is wrong: fix it and call again."""

    code = "input"


class InvalidRequest(InputError):
    """A malformed value, shape, type or document."""

    code = "input.invalid"


class SchemaMismatch(InputError):
    """Columns, types or lengths differ from what was declared."""

    code = "input.schema"


class UnknownName(InputError, LookupError):
    """A name that nothing answers to; the nearest known names are in the hint."""

    code = "input.unknown_name"

    @classmethod
    def among(cls, noun: str, name: str, known: Iterable[str], *, where: str | None = None) -> UnknownName:
        """Build the error with the nearest of the known names as its hint."""
        from difflib import get_close_matches  # noqa: PLC0415 - only on the error path

        names = sorted(known)
        near = get_close_matches(name, names, n=3, cutoff=0.6)
        hint = "use " + " or ".join(f"`{match}`" for match in near) if near else None
        if hint is None:
            shown = ", ".join(f"`{known_name}`" for known_name in names[:10])
            hint = f"use one of {shown}" if names else f"add a {noun} first"
        return cls(f"unknown {noun} `{name}`", where=where, hint=hint, details={"near": list(near)})


class SettingsError(InputError):
    """A settings file, environment variable or flag that does not hold."""

    code = "settings.invalid"


class TooLarge(InputError):
    """More bytes, rows or elements than the stated limit."""

    code = "input.too_large"


class HeadersTooLarge(InputError):
    """Request headers or URL above the stated limit."""

    code = "input.headers"


class UnsupportedMedia(InputError):
    """A media type or content coding that is not spoken here."""

    code = "input.media"


class UnsafeArtifact(InputError):
    """A file that would run code when loaded, without consent or beyond the allow-list."""

    code = "artifact.unsafe"


class StateError(KilterError):
    """The world is not as the caller thought: look again."""

    code = "state"


class NotFound(StateError):
    """The named thing does not exist (any more)."""

    code = "state.not_found"


class Conflict(StateError):
    """Somebody else changed the same thing first, or it exists already."""

    code = "state.conflict"


class WorldMoved(StateError):
    """The live state is not the one that the plan was made for."""

    code = "state.world_moved"


class NotReady(StateError):
    """Not ready yet: still loading, starting, or waiting for data."""

    code = "state.not_ready"


class AlreadyFinal(StateError):
    """A finished thing cannot change any more."""

    code = "state.final"


class Refused(KilterError):
    """A rule said no; the reason and its evidence are in the error."""

    code = "refused"


class GateFailed(Refused):
    """A blocking gate failed."""

    code = "gate.failed"


class Inconclusive(Refused):
    """The evidence does not decide; never taken for a pass."""

    code = "gate.inconclusive"


class OnHold(Refused):
    """This version was rejected before and is held."""

    code = "rollout.on_hold"


class BudgetSpent(Refused):
    """A declared budget is used up."""

    code = "budget.spent"


class ApprovalMissing(Refused):
    """A person has to approve first."""

    code = "approval.missing"


class Unauthenticated(Refused):
    """No valid credentials were given."""

    code = "auth.missing"


class Forbidden(Refused):
    """These credentials do not allow it."""

    code = "auth.forbidden"


class Busy(KilterError):
    """Try again after ``retry_after_s`` seconds."""

    code = "busy"

    def __init__(
        self,
        message: str,
        *,
        retry_after_s: float = 1.0,
        where: str | None = None,
        why: str | None = None,
        hint: str | None = None,
        details: Mapping[str, Detail] | None = None,
    ) -> None:
        super().__init__(message, where=where, why=why, hint=hint, details=details)
        self.retry_after_s = retry_after_s


class Overloaded(Busy):
    """More work arrives than can be done in time."""

    code = "busy.overloaded"


class QuotaExceeded(Busy):
    """This caller's share is used up for now."""

    code = "busy.quota"


class DeadlineExceeded(Busy):
    """The deadline passed before the work was done."""

    code = "busy.deadline"


class BackendError(KilterError):
    """Something underneath failed; the operator has to act. ``__cause__`` is kept."""

    code = "backend"


class StoreError(BackendError):
    """A database, file or object store failed."""

    code = "backend.store"


class EngineError(BackendError):
    """An engine could not run or place work."""

    code = "backend.engine"


class JournalUnavailable(BackendError):
    """The prediction log cannot accept records."""

    code = "backend.journal"


class FormatError(BackendError):
    """A model file that cannot be read, converted or run."""

    code = "backend.format"


class ModelFailed(BackendError):
    """The model raised, or gave an answer that no model may give."""

    code = "model.failed"


class MissingExtra(BackendError, ImportError):
    """An optional dependency is not installed; the hint names the extra."""

    code = "backend.missing_extra"


class IntegrityError(KilterError):
    """Stored bytes are not what was stored: stop."""

    code = "integrity"


class ChecksumMismatch(IntegrityError):
    """Bytes do not match their digest."""

    code = "integrity.checksum"


class SignatureInvalid(IntegrityError):
    """A signature does not verify."""

    code = "integrity.signature"


class AuditBroken(IntegrityError):
    """The chain of audit rows is broken."""

    code = "integrity.audit"
