"""Serve the emulator, mended where a rehearsal needs it: `python server.py FOLDER SDK_SOURCE NETWORK`."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path


def main() -> None:
    """Mend, then serve until told to end."""
    folder, sdk_source, network = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    del sys.argv[1:]
    from tests.rehearsal.emulator import (
        access,
        cache_users,
        functions,
        patching,
        rotations,
        stack_secrets,
        stacks,
        tasks,
    )

    patching.check_version()
    access.patch()
    stacks.patch()
    stack_secrets.patch()
    rotations.patch()
    cache_users.patch(os.environ.pop("REHEARSAL_REDIS"))
    functions.patch(folder, sdk_source)
    tasks.patch(network)
    try:
        patching.module("app").main()
    finally:
        if os.getpgid(0) == os.getpid():
            os.killpg(0, signal.SIGKILL)  # functions with threads of their own would outlive it


if __name__ == "__main__":
    # Not this folder, which has names of the emulator's own; the clone, and last.
    sys.path[0:1] = []
    sys.path.append(str(Path(__file__).resolve().parents[3]))
    os.umask(0o077)
    main()
