"""The JSON Schema of ``kilter.toml``, generated from the same keys that read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilter.settings.key import DEPLOYMENT_TABLES, GATE_KEYS, ROOT_TABLES

if TYPE_CHECKING:
    from kilter.settings.key import Key
    from kilter.settings.value import Json

__all__ = ["schema"]


def schema() -> dict[str, Json]:
    """Return the schema, for editors and validators.

    Returns
    -------
    dict
        JSON Schema, draft 2020-12.

    Raises
    ------
    Nothing
    """
    properties: dict[str, Json] = {
        "schema": {"type": "integer", "maximum": 1, "description": "version of this format"},
        "include": {"type": "array", "items": {"type": "string"}, "description": "files with further deployments"},
    }
    properties |= {name: _table(keys) for name, keys in ({**ROOT_TABLES, **DEPLOYMENT_TABLES}).items()}
    properties["gates"] = {"type": "array", "items": _table(GATE_KEYS)}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "kilter.toml",
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
    }


def _table(keys: tuple[Key, ...]) -> dict[str, Json]:
    """Describe one table."""
    described: dict[str, Json] = {key.name: {"description": key.about, **key.read.schema} for key in keys}
    required = [key.name for key in keys if key.is_required]
    table: dict[str, Json] = {"type": "object", "additionalProperties": False, "properties": described}
    return table | {"required": required} if required else table
