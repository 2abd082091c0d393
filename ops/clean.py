"""`make clean`: remove the data of the local stack, wherever it lies."""

from __future__ import annotations

import shutil
import sys

from ops.home import Home
from ops.postgres import state_directory
from ops.terminal import Exit, complain, say


def main() -> int:
    """Remove the home and what is kept outside of it; refuses while a stack runs."""
    home = Home.from_env()
    if not home.path.exists():
        return Exit.OK
    if home.is_locked():
        complain(f"A stack runs on {home.path}: stop it first.")
        return Exit.WRONG_USE
    for folder in (state_directory(home), home.path):
        if folder.exists():
            say(f"Removing {folder}")
            shutil.rmtree(folder)
    return Exit.OK


if __name__ == "__main__":
    sys.exit(main())
