"""Ports whose calls are counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

Port = TypeVar("Port")


def counted(port: Port, count: Callable[[str], None]) -> Port:
    """Return the port; each call of it is counted first, by the name of its method."""
    return cast("Port", _Counted(port, count))


class _Counted:
    def __init__(self, port: object, count: Callable[[str], None]) -> None:
        self._port = port
        self._count = count

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)

        def call(*arguments: Any, **named: Any) -> Any:
            self._count(name)
            return method(*arguments, **named)

        self.__dict__[name] = call  # the next call finds it without asking here
        return call
