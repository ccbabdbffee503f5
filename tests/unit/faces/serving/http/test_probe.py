"""Claims about the probe: any uvicorn that differs where it matters is noticed."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from uvicorn.protocols.http import httptools_impl

from kilter.faces.serving.http.probe import mismatch


class _NoPipeline:
    """A protocol of another make."""

    def __init__(self) -> None:
        self.transport = None


class _CycleOfAnotherMake(httptools_impl.RequestResponseCycle):
    """A cycle with another constructor."""

    def __init__(self, scope: bool) -> None:  # noqa: FBT001 - made otherwise, on purpose
        self.disconnected = self.keep_alive = self.more_body = scope
        self.response_complete = self.response_started = scope
        self.message_event = asyncio.Event()


def test_the_installed_uvicorn_fits() -> None:
    assert mismatch() == ""


@pytest.mark.parametrize("version", ["0.53.2", "0.55.0", "1.0", "0.5", "x", ""])
def test_versions_that_were_not_tested_do_not_fit(version: str) -> None:
    assert "was tested with 0.54" in mismatch(version)


@pytest.mark.parametrize(
    ("protocol", "cycle", "part"),
    [
        (None, None, "no HttpToolsProtocol"),
        (_NoPipeline, httptools_impl.RequestResponseCycle, "pipeline"),
        (httptools_impl.HttpToolsProtocol, _NoPipeline, "response_started"),
        (httptools_impl.HttpToolsProtocol, _CycleOfAnotherMake, "made otherwise"),
    ],
)
def test_other_internals_do_not_fit(protocol: object, cycle: object, part: str) -> None:
    assert part in mismatch("0.54.0", SimpleNamespace(HttpToolsProtocol=protocol, RequestResponseCycle=cycle))
