"""What every page is made of: templates, vendored scripts, colours, and a policy that lets nothing else in."""

from __future__ import annotations

import base64
import functools
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    import jinja2

TEMPLATES = Path(__file__).parent / "templates"
VENDOR = Path(__file__).parent.parent / "data" / "vendor"
PLOTLY = VENDOR / "plotly" / "plotly-basic.min.js"
THEME = TEMPLATES / "theme.css"
"""Colours, light and dark, of every page. Ends without a new line: the style sheets are joined by one."""


def policy(scripts: Iterable[str]) -> str:
    """The content-security policy: our own scripts by their hash, inline styles, pictures in the page; no network."""
    hashes = " ".join(f"'sha256-{_digest(script)}'" for script in scripts)
    return (
        # Inline styles: plotly adds a style element of its own while it draws, whose hash no page can know before.
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:; "
        # Named, because these two do not fall back to default-src (CSP, level 3).
        "base-uri 'none'; form-action 'none'"
    )


def _digest(script: str) -> str:
    # UTF-8, for a browser hashes the text between the tags so encoded, whatever the file's own encoding (CSP, level 3).
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


# One for all pages, because it keeps the templates it has compiled.
@functools.lru_cache(maxsize=1)
def environment() -> jinja2.Environment:
    """Jinja with everything escaped and nothing left undefined."""
    import jinja2

    from inspector.safe_text import clean
    from inspector.units import GB, MB, MiB, count, percent, short_count

    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        # A misspelt name in a template is our bug and has to be one: jinja would print nothing in its place.
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Jinja cuts a template's last new line, which ends a text file.
        keep_trailing_newline=True,
        # Markup was cleaned where it was made; once more, its new lines would be marks, and it would be escaped twice.
        finalize=lambda value: clean(value) if isinstance(value, str) and not hasattr(value, "__html__") else value,
    )
    made.filters.update(
        count=count,
        short=short_count,
        mb=lambda nbytes, digits=1: f"{nbytes / MB:,.{digits}f}",
        size=lambda nbytes: f"{nbytes / GB:,.1f} GB" if nbytes >= GB else f"{nbytes / MB:,.0f} MB",
        share=percent,
        mib=lambda nbytes, digits=1: f"{nbytes / MiB:,.{digits}f}",
        px=lambda value: f"{value:.1f}".removesuffix(".0"),
    )
    return made
