"""Ask the API of this machine whether it lives: `python -m api.healthcheck`, exit code 0 or 1. For container images."""

from __future__ import annotations

import http.client
import os
import sys


def main() -> int:
    """Return 0 if `/health` answers 200 within two seconds."""
    connection = http.client.HTTPConnection("127.0.0.1", int(os.environ.get("PORT") or 3000), timeout=2)
    try:
        connection.request("GET", "/health")
        return 0 if connection.getresponse().status == 200 else 1
    except (OSError, http.client.HTTPException):
        return 1
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
