"""One ranged read from the hub, through huggingface_hub's session: token, offline mode and error names are its own.

Every read has a limit in bytes and one in seconds, whatever the server sends; what may pass is tried again.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from inspector.errors import InspectorError, in_one_line
from inspector.sources import bundled

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx2

TIMEOUT = 8.0
"""Seconds to connect, and between two pieces of an answer."""

DEADLINE = 30.0
"""Seconds for one whole answer: a server that drips one byte a second does not keep anyone."""

# Enough for what passes in a moment; a hub that is down is told after seconds, not minutes.
TRIES = 3
PAUSE = 0.4
"""Seconds before the second try, where the server asks for none; twice as many before the third."""

PATIENCE = 8.0
"""Seconds after which no other try is begun: a server that takes connections and says nothing is given one."""

# Timeout, too many requests, and the server's own errors; all others would be the same again.
_PASSING = frozenset({408, 429, 500, 502, 503, 504})
# Seconds; a server that asks for more is told to the user instead.
_MAX_WAIT = 5.0


@dataclass(frozen=True, slots=True)
class Reply:
    """Bytes of a file, and the size of the whole file."""

    data: bytes
    size: int


def fetch(url: str, *, limit: int, ask: int | None = None, start: int = 0) -> Reply:
    """``ask`` bytes of a file from ``start`` on (all of it when None), never more than ``limit``.

    Raises the errors of huggingface_hub and its HTTP client, for `explained`, and InspectorError over the limit.
    """
    begun = time.monotonic()
    for attempt in range(1, TRIES + 1):
        try:
            return _once(url, limit, ask, start)
        except Exception as error:
            wait = _worth_waiting(error, attempt)
            if wait is None or attempt == TRIES or time.monotonic() + wait > begun + PATIENCE:
                raise
            time.sleep(wait)
    raise AssertionError


def _once(url: str, limit: int, ask: int | None, start: int) -> Reply:
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

    # Unpacked, sizes and ranges are those of the file.
    headers = {**build_hf_headers(library_name="inspector"), "Accept-Encoding": "identity"}
    if ask is not None:
        headers["Range"] = f"bytes={start}-{start + ask - 1}"
    started = time.monotonic()
    with get_session().stream("GET", url, headers=headers, timeout=TIMEOUT, follow_redirects=True) as response:
        if response.status_code >= 400:
            # The words of an error page are read for the error, within a limit like all else.
            _read(response, 100_000, started, "the error page")
        hf_raise_for_status(response)
        size = _size(response.headers, response.status_code)
        if ask is None and size > limit:
            raise InspectorError(f"{_short(url)} has {size:,} bytes, over the limit of {limit:,}")
        if start and response.status_code != 206:
            # From a server that sends the whole, what comes before would be taken for what was asked.
            raise InspectorError(f"{_short(url)} is not sent in parts", hint="download it")
        wanted = min(size - start, limit if ask is None else min(ask, limit))
        data = _read(response, wanted, started, url)
    if len(data) < wanted:
        raise ConnectionError(f"it ended after {len(data):,} of {wanted:,} bytes")
    return Reply(data, size)


def _read(response: httpx2.Response, wanted: int, started: float, url: str) -> bytes:
    """Up to ``wanted`` bytes of an answer, within the deadline."""
    data = bytearray()
    for piece in response.iter_raw():
        data += piece
        if len(data) >= wanted:
            break
        if time.monotonic() - started > DEADLINE:
            raise InspectorError(f"{_short(url)} took over {DEADLINE:.0f} seconds", hint="try again later")
    if response.status_code >= 400:
        response._content = bytes(data[:wanted])  # hf_raise_for_status looks for the server's words in it
    return bytes(data[:wanted])


def _size(headers: Mapping[str, str], status: int) -> int:
    """Bytes of the whole file: after the slash of ``Content-Range`` where the server kept to the range."""
    # A server may ignore the range and send the whole, with status 200.
    text = headers.get("content-range", "").rpartition("/")[2] if status == 206 else headers.get("content-length", "")
    # Digits enough for an exabyte, and few enough for int() to be quick.
    if not text.isdecimal() or len(text) > 18:
        raise InspectorError("the server does not say how large a file is", hint="is HF_ENDPOINT right?")
    return int(text)


def _worth_waiting(error: Exception, attempt: int) -> float | None:
    """Seconds to wait before another try; None when it would fail again."""
    import httpx2

    response = getattr(error, "response", None)
    if response is None:
        broken = isinstance(error, (httpx2.TransportError, ConnectionError)) and not _offline(error)
        return PAUSE * 2 ** (attempt - 1) if broken else None
    if response.status_code not in _PASSING:
        return None
    wait = _asked_to_wait(response.headers.get("retry-after", ""))
    wait = PAUSE * 2 ** (attempt - 1) if wait is None else wait
    return wait if wait <= _MAX_WAIT else None


def _asked_to_wait(said: str) -> float | None:
    """Seconds in a ``Retry-After``, which is a number of them or a date (RFC 9110, 10.2.3)."""
    # Eight digits are three years.
    if said.isdecimal() and len(said) < 9:
        return float(said)
    try:
        return max(0.0, parsedate_to_datetime(said).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def is_passing(error: Exception) -> bool:
    """Whether the hub itself is out of reach or overloaded, and not a model refused."""
    import httpx2
    from huggingface_hub.errors import OfflineModeIsEnabled

    response = getattr(error, "response", None)
    if response is not None:
        return response.status_code in _PASSING
    return isinstance(error, (httpx2.TransportError, ConnectionError, OfflineModeIsEnabled))


def _offline(error: Exception) -> bool:
    from huggingface_hub.errors import OfflineModeIsEnabled

    return isinstance(error, OfflineModeIsEnabled)


def explained(error: Exception, repo: str) -> InspectorError:
    """The one line, and what to do, for whatever kept a model from being read. Unknown errors are raised again."""
    import httpx2

    if isinstance(error, InspectorError):
        return error
    close = bundled.nearest(repo, 3)
    near = f"did you mean the bundled {', '.join(close)}?" if close else "`inspector models` lists the bundled ones"
    response = getattr(error, "response", None)
    if found := _by_name(error, repo, near) or (_by_status(response, repo) if response is not None else None):
        return found
    if isinstance(error, httpx2.TimeoutException):
        return InspectorError(f"the hub did not answer within {TIMEOUT:.0f} seconds", hint=f"try again; {near}")
    if isinstance(error, (httpx2.HTTPError, httpx2.InvalidURL, ConnectionError)):
        return InspectorError(
            f"cannot reach the hub: {in_one_line(error, 120)}", hint=f"check the connection and HF_ENDPOINT; {near}"
        )
    raise error


def _by_name(error: Exception, repo: str, near: str) -> InspectorError | None:
    """The line for an error that huggingface_hub has a name for."""
    from huggingface_hub import errors as hub

    if isinstance(error, hub.OfflineModeIsEnabled):
        return InspectorError(f"{repo} is not in the cache, and HF_HUB_OFFLINE is set", hint=near)
    if isinstance(error, hub.GatedRepoError):
        terms = f"accept its terms on https://huggingface.co/{repo}, then `hf auth login`"
        return InspectorError(f"{repo} is gated", hint=terms)
    if isinstance(error, hub.RevisionNotFoundError):
        return InspectorError(f"{repo} has no such revision", hint="leave out what follows the @ for the newest")
    if isinstance(error, hub.EntryNotFoundError):
        return InspectorError(f"{repo} lacks a file it should have", hint="is it a transformers model?")
    if isinstance(error, hub.RepositoryNotFoundError):
        return InspectorError(
            f"no model {repo} on the hub, or a private one", hint=f"{near} (private: `hf auth login`)"
        )
    return None


def _by_status(response: httpx2.Response, repo: str) -> InspectorError:
    """The line for an answer that only has a number."""
    status = response.status_code
    wait = _asked_to_wait(response.headers.get("retry-after", ""))
    pause = f"wait {wait:,.0f} seconds" if wait and wait > _MAX_WAIT else "wait some minutes"
    said = {
        401: ("the hub refuses the token", "`hf auth login` again, or unset HF_TOKEN"),
        403: (f"the hub forbids {repo} to this token", "give the token read access to it"),
        429: ("the hub says: too many requests", f"{pause}; a token raises the limit"),
    }
    message, hint = said.get(status, (f"the hub answered with status {status}", "try again later"))
    return InspectorError(message, hint=hint)


def _short(url: str) -> str:
    return url.partition("?")[0].rpartition("/")[2][:80]
