"""Listening sockets: one per serving process, all on one address."""

from __future__ import annotations

import errno
import socket
from typing import Any, TypeAlias

from kilter.errors import Conflict, StoreError

__all__ = ["listen", "reserve"]

_BACKLOG = 2_048

_Address: TypeAlias = Any
"""What the system calls an address: a tuple whose length depends on its family."""


def listen(host: str, port: int, *, count: int, key: str = "port") -> list[socket.socket]:
    """Open ``count`` listening sockets on one address; port 0 takes any free one.

    Parameters
    ----------
    host : str
        Address or name to bind to; nothing else is listened on.
    port : int
        The port, or 0.
    count : int
        How many sockets share it.
    key : str
        Where the port is set, for the error.

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
    family, address = _resolved(host, port)
    sockets: list[socket.socket] = []
    try:
        bound = _probed(family, address)
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
        raise _unusable(host, port, cause, key) from cause
    return sockets


def reserve(host: str, port: int) -> socket.socket:
    """Keep a port for servers that open their sockets themselves, in other processes of this user.

    Parameters
    ----------
    host : str
        Address or name to bind to.
    port : int
        The port, or 0 for any free one.

    Returns
    -------
    socket
        Bound, but not listening: it takes no connection away from those that listen with
        ``SO_REUSEPORT``, and keeps everybody else off the port until it is closed.

    Raises
    ------
    Conflict
        If something listens there already.
    StoreError
        If the address does not exist on this machine or may not be used.
    """
    family, address = _resolved(host, port)
    kept = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound = _probed(family, address)
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        kept.bind(bound)
    except OSError as cause:
        kept.close()
        raise _unusable(host, port, cause, "grpc_port") from cause
    return kept


def _resolved(host: str, port: int) -> tuple[socket.AddressFamily, _Address]:
    """Look an address up."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror as cause:
        message = f"the address {host} is not known"
        raise StoreError(message, why=cause.strerror, hint="set `host` under [serving] in kilter.toml") from cause
    return family, address


def _probed(family: socket.AddressFamily, address: _Address) -> _Address:
    """Return the address with its port; without SO_REUSEPORT, another kilter is noticed instead of joined."""
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
        return probe.getsockname()


def _unusable(host: str, port: int, cause: OSError, key: str) -> Conflict | StoreError:
    """Word why an address cannot be used; ``key`` is where its port is set."""
    if cause.errno == errno.EADDRINUSE:
        return Conflict(
            f"port {port} on {host} is in use",
            why="another program listens there",
            hint=f"find it with `ss -ltnp 'sport = :{port}'` and stop it, or set another `{key}` under [serving]",
        )
    return StoreError(
        f"cannot listen on {host}, port {port}: {cause.strerror}",
        hint=f"set `host` and `{key}` under [serving] in kilter.toml",
    )
