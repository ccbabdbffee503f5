"""``python -m kilter.faces.serving --settings FILE --slot N --fd F``: one serving process."""

from __future__ import annotations

import argparse
import logging
import socket
import sys

import uvloop

from kilter import plane
from kilter.errors import KilterError
from kilter.faces.serving.processes.acceptor import Acceptor
from kilter.settings import transfer

_FAILED = 3


def main(arguments: list[str] | None = None) -> int:
    """Serve until a signal comes; return the exit code."""
    parser = argparse.ArgumentParser(prog="kilter.faces.serving", description=__doc__)
    parser.add_argument("--settings", required=True, help="JSON file that the supervisor wrote")
    parser.add_argument("--slot", required=True, type=int, help="number of this process among its siblings")
    parser.add_argument("--fd", required=True, type=int, help="descriptor of the listening socket")
    parser.add_argument("--grpc", default="", metavar="ADDRESS", help="HOST:PORT of gRPC; default none")
    parser.add_argument("--metrics-fd", type=int, help="descriptor of the metrics' own listening socket; default none")
    given = parser.parse_args(arguments)
    logging.basicConfig(
        level=logging.INFO, format=f"%(asctime)s serving[{given.slot}] %(levelname)s %(name)s: %(message)s"
    )
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    try:
        parts = plane.serving(transfer.read(given.settings), given.slot)
        metrics = None if given.metrics_fd is None else socket.socket(fileno=given.metrics_fd)
        acceptor = Acceptor(parts, slot=given.slot, grpc_address=given.grpc, metrics_socket=metrics)
        return uvloop.run(acceptor.run(socket.socket(fileno=given.fd)))
    except KilterError as error:
        sys.stderr.write(f"error: {error.message}\n" + (f"  fix: {error.hint}\n" if error.hint else ""))
        return _FAILED


if __name__ == "__main__":
    sys.exit(main())
