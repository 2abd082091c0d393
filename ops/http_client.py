"""HTTP/1.1 over one kept connection: what a load generator needs, at a tenth of a general client's cost."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ops.terminal import WrongUse

_LONGEST_HEAD = 64 * 1024


@dataclass(frozen=True, slots=True)
class Response:
    """An answer; header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Address:
    """Where an API is: what a URL such as `https://scores.example.com` says."""

    host: str
    port: int
    secure: bool
    prefix: str

    @property
    def authority(self) -> str:
        """Host and port as the header `Host` has them."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def of(cls, url: str) -> Address:
        """Read a URL. Raises `WrongUse` if it is none for HTTP."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise WrongUse(f"{url} is not a URL such as http://localhost:3000.")
        try:
            port = parts.port
        except ValueError:
            raise WrongUse(f"{url} has a port that is not a number from 0 to 65535.") from None
        secure = parts.scheme == "https"
        # `localhost` is tried as IPv6 first by the resolver; the local stack listens on IPv4.
        host = "127.0.0.1" if parts.hostname == "localhost" else parts.hostname
        return cls(host, port or (443 if secure else 80), secure, parts.path.rstrip("/"))


class Connection:
    """One connection, opened when needed and again after a failure. One request at a time."""

    def __init__(self, address: Address, *, timeout_s: float = 10.0) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def request(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Response:
        """Send a request and read the whole answer.

        Raises:
            OSError: No answer, or half of one (also `TimeoutError`); whether it had an effect is unknown.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                status, received = await self._exchange(method, path, headers or {}, body)
                content = b"".join([part async for part in self._content(received)]) if method != "HEAD" else b""
        except BaseException as problem:
            self.close()
            if isinstance(problem, (EOFError, ValueError, IndexError)):
                raise ConnectionError(f"broken answer: {problem}") from problem
            raise
        if received.get("connection", "").lower() == "close":
            self.close()
        return Response(status, received, content)

    async def stream(self, path: str, headers: Mapping[str, str] | None = None) -> AsyncIterator[bytes]:
        """The lines of an answer that does not end, as they come, without their ends.

        Raises:
            OSError: Refused, cut, or silent for longer than the connection's timeout.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                status, received = await self._exchange("GET", path, headers or {}, b"")
            if status != 200:
                raise ConnectionError(f"the stream was refused with {status}")
            rest = b""
            parts = self._content(received)
            while True:
                async with asyncio.timeout(self._timeout_s):
                    part = await anext(parts, None)
                if part is None:
                    return
                *lines, rest = (rest + part).split(b"\n")
                for line in lines:
                    yield line.removesuffix(b"\r")
        except (EOFError, ValueError, IndexError) as problem:
            raise ConnectionError(f"broken stream: {problem}") from problem
        finally:
            self.close()

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._reader is None or self._writer is None:
            secure = ssl.create_default_context() if self._address.secure else None
            self._reader, self._writer = await asyncio.open_connection(
                self._address.host, self._address.port, ssl=secure, limit=_LONGEST_HEAD
            )
        return self._reader, self._writer

    async def _exchange(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, dict[str, str]]:
        reader, writer = await self._open()
        lines = [f"{method} {self._address.prefix}{path} HTTP/1.1", f"Host: {self._address.authority}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError as problem:
            raise ValueError(str(problem)) from problem
        first, *rest = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in rest if line)
        return int(first.split(" ", 2)[1]), {name.lower(): value.strip() for name, _, value in pairs}

    async def _content(self, headers: Mapping[str, str]) -> AsyncIterator[bytes]:
        reader, _ = await self._open()
        if headers.get("transfer-encoding", "").lower() == "chunked":
            while size := int((await reader.readline()).split(b";")[0], 16):
                yield await reader.readexactly(size)
                await reader.readexactly(2)
            await reader.readline()
        elif "content-length" in headers:
            if size := int(headers["content-length"]):
                yield await reader.readexactly(size)
        else:  # until the server closes
            while part := await reader.read(_LONGEST_HEAD):
                yield part
            self.close()
