"""Cross-origin requests: exactly the configured origins, with what they may send and read."""

from __future__ import annotations

from typing import Final

from quart import Request, Response

from scoreboard.config import Settings

REQUEST_HEADERS: Final = "Authorization, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID, X-SSE-Client"
EXPOSED_HEADERS: Final = (
    "ETag, Idempotent-Replayed, Link, Location, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, Retry-After, "
    "X-Request-Id"
)
PREFLIGHT_AGE_S: Final = 600


def is_preflight(request: Request) -> bool:
    """Whether a browser asks if it may send a request."""
    return request.method == "OPTIONS" and "Origin" in request.headers and _ASKED in request.headers


def preflight(request: Request) -> Response:
    """Return the answer to a preflight; `add_headers` says who may."""
    methods = sorted((request.url_rule.methods if request.url_rule else None) or {"GET", "HEAD", "OPTIONS"})
    headers = {
        "Access-Control-Allow-Methods": ", ".join(methods),
        "Access-Control-Allow-Headers": REQUEST_HEADERS,
        "Access-Control-Max-Age": str(PREFLIGHT_AGE_S),
        "Allow": ", ".join(methods),
    }
    response = Response(None, status=204, headers=headers)
    response.headers.pop("Content-Type", None)
    return response


def add_headers(settings: Settings, request: Request, response: Response) -> None:
    """Tell the browser whether the page may read an answer."""
    response.vary.add("Origin")
    origin = request.headers.get("Origin")
    if origin is None:
        return
    if "*" in settings.cors_origin:
        origin = "*"
    elif origin not in settings.cors_origin:
        return
    response.headers["Access-Control-Allow-Origin"] = origin
    response.headers["Access-Control-Expose-Headers"] = EXPOSED_HEADERS
    if settings.cors_credentials and origin != "*":
        response.headers["Access-Control-Allow-Credentials"] = "true"


_ASKED: Final = "Access-Control-Request-Method"
