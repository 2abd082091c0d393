"""How the emulator's insides are changed: by name, and loudly when a name is gone."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

READ_AGAINST = "1.5.33"
"""The version whose source the patches were written for; another one has to be read first."""

PACKAGE = "ministack"


def check_version() -> None:
    """End the process if the emulator is not the one that was read."""
    found = version(PACKAGE)
    if found != READ_AGAINST:
        raise SystemExit(f"The patches are for {PACKAGE} {READ_AGAINST}, installed is {found}: read its changes first.")


def module(name: str) -> Any:
    """One of the emulator's modules."""
    return importlib.import_module(f"{PACKAGE}.{name}")


def replace(where: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Put what `make` builds from the present function in its place."""
    present = where[name] if isinstance(where, dict) else getattr(where, name)
    new = make(present)
    if isinstance(where, dict):
        where[name] = new
    else:
        setattr(where, name, new)
