"""`python -m api`, as in the image: the server, which may be told to end while it is still being imported.

The first process of a container gets only signals for which it has a handler: without one, SIGTERM in its first second
would be lost, and the container killed two minutes later.
"""

from __future__ import annotations

import signal
import sys


def main() -> int:
    """Run the server; give its exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    from api import server

    return server.main()


if __name__ == "__main__":
    sys.exit(main())
