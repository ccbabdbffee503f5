"""Runs commands in forks of one process that has imported everything: the pages run many, each costs seconds alone.

``python warm.py FOLDER`` writes ``FOLDER/kilter``, to be found first on the path: it hands its words, folder,
variables and streams over, and ends with the exit code of the fork. A fork runs kilter's own ``main``.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import traceback
from pathlib import Path

import pyarrow.csv  # noqa: F401 - imported for the forks

import kilter.app
import kilter.faces.sdk  # noqa: F401 - imported for the forks
from kilter import plugins
from kilter.faces.cli import main
from kilter.faces.cli.main import VERBS

CLIENT = """#!{python} -IS
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as warm:
    warm.connect({address!r})
    words = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(warm, [len(words).to_bytes(4, "big")], [0, 1, 2])
    warm.sendall(words)
    code = warm.recv(16)
sys.exit(int(code) if code else "the command died")
"""


def serve(folder: Path) -> None:
    """Answer one connection after the other; each command is a fork."""
    address = str(folder / "socket")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(16)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    client = folder / "kilter"
    client.with_suffix(".new").write_text(CLIENT.format(python=sys.executable, address=address))
    client.with_suffix(".new").chmod(0o755)
    client.with_suffix(".new").rename(client)  # there when ready
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            answer(connection)
        connection.close()


def answer(connection: socket.socket) -> None:
    """Become the command, and end."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    size, streams, _, _ = socket.recv_fds(connection, 4, 3)
    data = b""
    while len(data) < int.from_bytes(size, "big"):
        data += connection.recv(1 << 16)
    words, folder, variables = json.loads(data)
    for place, stream in enumerate(streams):
        os.dup2(stream, place)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    code = 1
    try:
        run(words)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    except BaseException:  # noqa: BLE001 - whatever went wrong is printed, as Python itself would
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    connection.sendall(str(code).encode())
    os._exit(code)


def run(words: list[str]) -> None:
    """Run kilter, or with ``-c`` a piece of Python."""
    if words[:1] == ["-c"]:
        exec(compile(words[1], "<block>", "exec"), {"__name__": "__main__"})  # noqa: S102 - a block of our own pages
        return
    main(words)


if __name__ == "__main__":
    for verb in VERBS:
        plugins.load("faces.cli", verb)
    serve(Path(sys.argv[1]))
