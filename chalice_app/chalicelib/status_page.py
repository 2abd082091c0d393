"""The page that a browser sees while only scores are accepted; whole in itself, as nothing else may be there."""

from __future__ import annotations

import base64
import hashlib
from typing import Final

_STYLE: Final = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 34rem; margin: 15vh auto 0; padding: 0 1.25rem; }
h1 { font-size: 1.5rem; }
"""

PAGE: Final = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="30">
<title>Scoreboard: back soon</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>The boards are away for the moment</h1>
<p>Scores are still accepted, and each of them will count. This page looks every 30 seconds whether the boards are
back.</p>
</body>
</html>
"""
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
PAGE_POLICY: Final = (
    f"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; style-src 'sha256-{_STYLE_HASH}'"
)
"""Nothing is loaded, and no style but the one above is applied."""
