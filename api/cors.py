"""Cross-origin requests: exactly the configured origins, with what they may send and read."""

from __future__ import annotations

from typing import Final

from quart import Request, Response

from scoreboard.answers import cors_headers, preflight_headers
from scoreboard.config import Settings

_ASKED: Final = "Access-Control-Request-Method"


def is_preflight(request: Request) -> bool:
    """Whether a browser asks if it may send a request."""
    return request.method == "OPTIONS" and "Origin" in request.headers and _ASKED in request.headers


def preflight(request: Request) -> Response:
    """Return the answer to a preflight; `add_headers` says who may."""
    methods = (request.url_rule.methods if request.url_rule else None) or {"GET", "HEAD", "OPTIONS"}
    response = Response(None, status=204, headers=preflight_headers(sorted(methods)))
    response.headers.pop("Content-Type", None)
    return response


def add_headers(settings: Settings, request: Request, response: Response) -> None:
    """Tell the browser whether the page may read an answer."""
    response.vary.add("Origin")
    origin = request.headers.get("Origin")
    response.headers.update(cors_headers(settings.cors_origin, origin, credentials=settings.cors_credentials))
