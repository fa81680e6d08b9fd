"""Ask every address that the project names whether it is there: ``python scripts/links.py``. Needs a network.

Answers of a page that is gone (404, 410), or of a name that nobody has while others are found, end it with 1. What
asks for patience or for a browser (403, 429, 5xx, a time out) is named and is no fault. Without a network it says so
and ends with 2.
"""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path

ROOT = Path(__file__).parent.parent
ADDRESS = re.compile(r"https?://[^\s\]\[()<>\"'`|,;\\{}]+")
LEFT_OUT = re.compile(
    r"^(tests|fuzz|reports|inspector/data/(vendor|skeletons))/|\.lock$|\.(png|webp|svg|safetensors)$",
)
"""What others wrote, what was made, and the tests' own invented addresses."""
INVENTED = re.compile(
    r"//(localhost|127\.|10\.|[^/]*\bexample\.(com|org|net)|[^/]*\.(invalid|test|local))\b|//[^/.]+(/|$)"
)
"""Addresses that stand for one: nobody is to be asked."""
GONE = {404, 410}
SECONDS = 15
AT_ONCE = 8
BROWSER = "Mozilla/5.0 (compatible; links of the documentation)"
"""Some hosts answer nothing that has no name."""


def addresses(root: Path) -> dict[str, list[str]]:
    """Every address in the files that git keeps, with the files it stands in."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, check=True).stdout
    found: dict[str, list[str]] = {}
    for name in listed.decode().split("\0"):
        path = root / name
        if not name or LEFT_OUT.search(name) or not path.is_file():
            continue
        text = path.read_text(encoding="utf-8", errors="ignore")
        for match in ADDRESS.finditer(text):
            # A place within a page is not asked for: the host never sees it.
            address = match[0].rstrip(".:*").partition("#")[0]
            if not INVENTED.search(address):
                found.setdefault(address, []).append(name)
    return {address: sorted(set(names)) for address, names in found.items()}


def answer(address: str) -> tuple[str, str]:
    """``there``, ``gone``, ``nobody`` (no such host) or ``unsure``, and what was said."""
    request = urllib.request.Request(address, headers={"User-Agent": BROWSER})  # noqa: S310 -- http and https alone
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as found:  # noqa: S310
            return "there", str(found.status)
    except urllib.error.HTTPError as error:
        return ("gone" if error.code in GONE else "unsure"), f"{error.code} {error.reason}"
    except urllib.error.URLError as error:
        return ("nobody" if isinstance(error.reason, socket.gaierror) else "unsure"), str(error.reason)
    except (OSError, HTTPException, ValueError) as error:
        return "unsure", f"{type(error).__name__}: {error}"


def main(root: Path = ROOT) -> int:
    """Ask for all of them, eight at a time; a line for each that did not answer."""
    found = addresses(root)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = dict(zip(found, pool.map(answer, found), strict=True))
    kinds = [kind for kind, _ in answers.values()]
    # A page that is gone was said so by its host.
    if not {"there", "gone"} & set(kinds):
        print("no network here: nothing was asked", file=sys.stderr)
        return 2
    for address, (kind, said) in answers.items():
        if kind != "there":
            print(f"{kind}: {address} ({said}), in {', '.join(found[address])}")
    print(f"{kinds.count('there')} of {len(kinds)} addresses answered")
    return 1 if {"gone", "nobody"} & set(kinds) else 0


if __name__ == "__main__":
    sys.exit(main())
