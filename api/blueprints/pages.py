"""Pages: the live board, the documentation, and the files they are made of."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from quart import Blueprint, Response, request

from api.services import services
from scoreboard.errors import NotFound

blueprint = Blueprint("pages", __name__)

WEB: Final = Path(__file__).parent.parent / "web"
_NAME: Final = re.compile(r"[A-Za-z0-9_-]+\.[a-z0-9]+", re.ASCII)
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}


@dataclass(frozen=True, slots=True)
class _File:
    changed_ns: int
    data: bytes
    etag: str


_files: dict[str, _File] = {}


@blueprint.get("/")
async def get_page() -> Response:
    """Show the live board."""
    return file_response("index.html")


@blueprint.get("/docs")
async def get_docs() -> Response:
    """Show the documentation of the API."""
    return file_response("docs.html")


@blueprint.get("/static/<name>")
async def get_static(name: str) -> Response:
    """Send a file of the pages."""
    return file_response(name)


def file_response(name: str) -> Response:
    """Return a file of the pages, or that the client has it already. Raises `NotFound`."""
    file = _read(name, services().settings.api_base_path)
    response = Response(file.data, content_type=_TYPES[Path(name).suffix])
    response.set_etag(file.etag)
    response.headers["Cache-Control"] = "no-cache"
    if request.if_none_match.contains_weak(file.etag):
        response.status_code = 304
        response.set_data(b"")
        response.headers.pop("Content-Length", None)
    return response


def _read(name: str, base_path: str) -> _File:
    """Read a file, again only when it has changed. A name is one of the folder's own, so no path leads out of it.

    A page learns from its `data-api` where the API begins.
    """
    path = WEB / name
    if not _NAME.fullmatch(name) or path.suffix not in _TYPES:
        raise NotFound
    try:
        changed_ns = path.stat().st_mtime_ns
    except OSError as error:
        raise NotFound from error
    known = _files.get(base_path + name)
    if known is None or known.changed_ns != changed_ns:
        data = path.read_bytes().replace(b'data-api="/api"', f'data-api="{base_path}"'.encode())
        known = _files[base_path + name] = _File(changed_ns, data, hashlib.blake2b(data, digest_size=12).hexdigest())
    return known
