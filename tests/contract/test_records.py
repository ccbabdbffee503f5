"""Every record can be written down and read back: its annotations are there at run time."""

from __future__ import annotations

import dataclasses
import pkgutil
import typing

import msgspec
import pytest

from kilter import contracts


def records() -> list[type]:
    """All dataclasses of the room."""
    names = [found.name for found in pkgutil.iter_modules(contracts.__path__, "kilter.contracts.")]
    modules = [pkgutil.resolve_name(name) for name in names]
    return [
        kind
        for module in modules
        for kind in vars(module).values()
        if isinstance(kind, type) and dataclasses.is_dataclass(kind) and kind.__module__ == module.__name__
    ]


@pytest.mark.parametrize("record", records(), ids=lambda record: f"{record.__module__}.{record.__name__}")
def test_a_record_is_frozen_and_its_annotations_resolve(record: type) -> None:
    assert typing.get_type_hints(record).keys() == {field.name for field in dataclasses.fields(record)}
    params = vars(record)["__dataclass_params__"]
    assert (params.frozen, hasattr(record, "__slots__")) == (True, True)


@pytest.mark.parametrize("name", ["Deployment", "Rollout", "Window", "ModelVersion", "CheckRun", "RouteTable"])
def test_a_stored_record_has_a_decoder(name: str) -> None:
    (kind,) = [record for record in records() if record.__name__ == name]
    assert msgspec.json.Decoder(kind) is not None
