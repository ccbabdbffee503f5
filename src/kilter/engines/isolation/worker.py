"""Main of a worker: loads one model, then answers calls until its parent goes."""

from __future__ import annotations

import gc
import socket
import sys
from typing import TYPE_CHECKING

from kilter import plugins
from kilter.engines.isolation.limits import exit_with_parent, give_up_power
from kilter.engines.isolation.wire import Answer, Call, Hello, fault_of, receive, send
from kilter.errors import ModelFailed

if TYPE_CHECKING:
    from kilter.contracts.format import LoadedModel

__all__ = ["main"]


def main(descriptor: int) -> int:
    """Serve one model over an inherited socket; the exit code."""
    exit_with_parent()
    with socket.socket(fileno=descriptor) as connection:
        hello = receive(connection, Hello)
        if hello is None:
            return 0
        give_up_power(memory_mib=hello.memory_mib)
        try:
            model: LoadedModel = plugins.load("formats", hello.format).load(hello.path, hello.signature)
        except BaseException as error:  # noqa: BLE001 # worker top: whatever it was, the parent is told
            send(connection, Answer(fault=fault_of(error)))
            return 1
        gc.freeze()
        send(connection, Answer())
        while (call := receive(connection, Call)) is not None:
            send(connection, _answer(model, call))
    return 0


def _answer(model: LoadedModel, call: Call) -> Answer:
    """Score one call."""
    try:
        return Answer.of(model.run(call.batch()))
    except (ModelFailed, MemoryError) as error:
        failure = error if isinstance(error, ModelFailed) else ModelFailed("the model ran out of memory")
        return Answer(fault=fault_of(failure))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
