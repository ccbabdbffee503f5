"""Main of the importing child: reads one model file, writes what it found, ends."""

from __future__ import annotations

import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec

from kilter import plugins
from kilter.contracts.format import Imported, ReferenceTable
from kilter.engines.isolation.limits import exit_with_parent, give_up_power
from kilter.engines.isolation.wire import Fault, fault_of

__all__ = ["REQUEST", "RESULT", "Outcome", "Request", "main"]

REQUEST: Final = "request.msgpack"
RESULT: Final = "result.msgpack"


class Request(msgspec.Struct, frozen=True):
    """What to read, and with how much."""

    format: str
    path: str
    reference: ReferenceTable
    memory_mib: int
    cpu_s: int


class Outcome(msgspec.Struct, frozen=True):
    """What was found, or why not."""

    imported: Imported | None = None
    fault: Fault | None = None


def main(folder: str) -> int:
    """Read the request in a folder and write the outcome beside it; the exit code."""
    exit_with_parent()
    request = msgspec.msgpack.decode((Path(folder) / REQUEST).read_bytes(), type=Request)
    give_up_power(memory_mib=request.memory_mib, cpu_s=request.cpu_s)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found: Imported = plugins.load("formats", request.format).read(request.path, request.reference)
            outcome = Outcome(imported=found)
        except BaseException as error:  # noqa: BLE001 # worker top: whatever it was, the parent is told
            outcome = Outcome(fault=fault_of(error))
    if outcome.imported is not None:
        lines = dict.fromkeys(str(item.message).strip().splitlines()[0] for item in caught if _matters(item))
        outcome = Outcome(imported=replace(outcome.imported, warnings=tuple(lines)))
    (Path(folder) / RESULT).write_bytes(msgspec.msgpack.encode(outcome))
    return 0


def _matters(item: warnings.WarningMessage) -> bool:
    """Keep warnings of users' concern: another version of the library, not what is deprecated inside one."""
    return not issubclass(
        item.category, DeprecationWarning | FutureWarning | PendingDeprecationWarning | RuntimeWarning
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
