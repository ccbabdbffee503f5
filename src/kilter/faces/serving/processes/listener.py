"""Listening sockets: one per serving process, all on one address."""

from __future__ import annotations

import errno
import socket

from kilter.errors import Conflict, StoreError

__all__ = ["listen"]

_BACKLOG = 2_048


def listen(host: str, port: int, *, count: int) -> list[socket.socket]:
    """Open ``count`` listening sockets on one address; port 0 takes any free one.

    Parameters
    ----------
    host : str
        Address or name to bind to; nothing else is listened on.
    port : int
        The port, or 0.
    count : int
        How many sockets share it.

    Returns
    -------
    list of socket
        Open until the caller closes them: connections wait in them while a process is started anew.

    Raises
    ------
    Conflict
        If something listens there already.
    StoreError
        If the address does not exist on this machine or may not be used.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror as cause:
        message = f"the address {host} is not known"
        raise StoreError(message, why=cause.strerror, hint="set `host` under [serving] in kilter.toml") from cause
    sockets: list[socket.socket] = []
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            # Without SO_REUSEPORT, so that another kilter on this port is noticed instead of joined.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            bound = probe.getsockname()
        for _ in range(count):
            listening = socket.socket(family, socket.SOCK_STREAM)
            sockets.append(listening)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listening.bind(bound)
            listening.listen(_BACKLOG)
            listening.settimeout(0.0)
    except OSError as cause:
        for opened in sockets:
            opened.close()
        raise _unusable(host, port, cause) from cause
    return sockets


def _unusable(host: str, port: int, cause: OSError) -> Conflict | StoreError:
    """Word why an address cannot be used."""
    if cause.errno == errno.EADDRINUSE:
        return Conflict(
            f"port {port} on {host} is in use",
            why="another program listens there",
            hint=f"find it with `ss -ltnp 'sport = :{port}'` and stop it, or set another `port` under [serving]",
        )
    return StoreError(
        f"cannot listen on {host}, port {port}: {cause.strerror}",
        hint="set `host` and `port` under [serving] in kilter.toml",
    )
