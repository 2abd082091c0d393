"""Addresses to listen on: whether one can, and where what listens there is reached."""

from __future__ import annotations

import errno
import ipaddress
import socket


def try_listening(host: str, port: int) -> None:
    """Listen for a moment, as the API will. Raises `OSError` when that is not possible."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    with socket.socket(family, kind, protocol) as probe:
        # As servers do: connections of the last run that linger do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
        probe.listen(1)


def why_not(host: str, port: int, problem: OSError) -> str:
    """One sentence about what keeps a server from listening, and what to do about it."""
    if isinstance(problem, socket.gaierror):
        return f"HOST is {host}, a name that is not known here: set it to an address of this machine."
    if problem.errno == errno.EADDRINUSE:
        return f"Port {port} is taken: end what listens there, or set PORT to another."
    if problem.errno in (errno.EACCES, errno.EPERM):
        return f"This user may not listen on port {port}: set PORT to another, from 1024 on."
    if problem.errno == errno.EADDRNOTAVAIL:
        return f"HOST is {host}, which is no address of this machine: set it to one that is, or to 0.0.0.0 for all."
    return f"Cannot listen on HOST {host}, PORT {port}: {problem.strerror or problem}."


def reachable(host: str) -> str:
    """The host to connect to for what listens on `host`, as a URL has it: loopback for all addresses."""
    if host == "localhost":  # of its addresses, the one that a server takes
        host = str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][4][0])
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.is_unspecified:
        return "127.0.0.1" if address.version == 4 else "[::1]"
    return host if address.version == 4 else f"[{host}]"
