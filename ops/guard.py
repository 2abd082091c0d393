"""Start a program that ends when its parent ends: `python guard.py SIGNAL UID:GID PROGRAM ARGS...`.

Run as a file and isolated, because it stands before every part and has to be quick. It becomes the
program, so the process number stays. Where the kernel has no such wish (macOS) the next start of the
stack ends what was left behind.
"""

from __future__ import annotations

import os
import signal
import sys

TYPE_CHECKING = False  # `typing` itself costs milliseconds
if TYPE_CHECKING:
    from collections.abc import Callable

_PR_SET_PDEATHSIG = 1


def kernel_tie() -> Callable[[signal.Signals], None]:
    """What asks the kernel to signal this process when its parent is gone."""
    if not sys.platform.startswith("linux"):
        return lambda how: None
    import ctypes  # costs more than the rest of this file

    prctl = ctypes.CDLL(None).prctl
    return lambda how: prctl(_PR_SET_PDEATHSIG, int(how), 0, 0, 0) and None


def main(arguments: list[str]) -> None:
    """Drop to the user, tie, become the program."""
    how, owner, parent, *command = arguments
    tie = kernel_tie()  # first: the other user may not be able to read the standard library
    if owner != "-":
        uid, gid = (int(part) for part in owner.split(":"))
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    tie(signal.Signals[how])  # last: a change of user clears the wish
    if os.getppid() != int(parent):
        sys.exit(1)  # the parent was gone before the wish was made
    try:
        os.execv(command[0], command)  # noqa: S606 - no shell wanted
    except OSError as problem:
        print(f"cannot start {command[0]}: {problem.strerror}", file=sys.stderr)
        sys.exit(127)


if __name__ == "__main__":
    main(sys.argv[1:])
