"""What kind of table a content type announces."""

from __future__ import annotations

from enum import StrEnum

from kilter.errors import UnsupportedMedia

__all__ = ["Media", "media_of"]

_MAX_SHOWN = 80


class Media(StrEnum):
    """The content types that ``/invocations`` reads."""

    JSON = "application/json"
    CSV = "text/csv"
    PARQUET = "application/vnd.apache.parquet"


_KNOWN = {kind.value: kind for kind in Media}
_PLAIN = {kind.value.encode(): kind for kind in Media}


def media_of(header: bytes | None) -> Media:
    """Return the kind of body that a ``content-type`` header announces.

    Parameters
    ----------
    header : bytes or None
        The header's value; None if it was not sent.

    Returns
    -------
    Media

    Raises
    ------
    UnsupportedMedia
        If there is no type, another type, a charset other than UTF-8, or an unknown parameter.
    """
    if header in _PLAIN:
        return _PLAIN[header]
    text = (header or b"").decode("latin-1")
    kind, *parameters = (part.strip() for part in text.split(";"))
    if kind.lower() not in _KNOWN:
        got = f"`{_shown(kind)}`" if kind else "none"
        message = f"content-type: expected {', '.join(_KNOWN)}, got {got}"
        raise UnsupportedMedia(message, hint="send `content-type: application/json`")
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if parameter and name.strip().lower() != "charset":
            message = f"content-type: expected no parameter but `charset`, got `{_shown(name)}`"
            raise UnsupportedMedia(message, hint=f"send `content-type: {kind.lower()}`")
        if parameter and value.strip().strip('"').lower() not in {"utf-8", "utf8"}:
            message = f"content-type: expected charset utf-8, got `{_shown(value)}`"
            raise UnsupportedMedia(message, hint="encode the body as UTF-8")
    return _KNOWN[kind.lower()]


def _shown(text: str) -> str:
    """Return what may be repeated in an answer: short and printable."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:_MAX_SHOWN])
