"""A text with nothing of whoever ran it: no home folder, user, host, address, token or folder of theirs."""

from __future__ import annotations

import getpass
import os
import re
import socket
from contextlib import suppress
from functools import cache
from pathlib import Path

_TOKENS = re.compile(
    r"\b(?:hf|sk|gh[pousr]|github_pat|glpat|xox[abp]|wandb|pypi|api)[_-][A-Za-z0-9_-]{8,}"  # by their makers' marks
    r"|\bAKIA[0-9A-Z]{12,}"
    r"|\beyJ[A-Za-z0-9_-]{10,}(?:\.[A-Za-z0-9_-]+)*"  # JSON web tokens: base64 of `{"`
    r"|\b(?=[A-Za-z0-9+/_-]*\d)(?=[A-Za-z0-9+/_-]*[A-Za-z])[A-Za-z0-9+_-]{32,}={0,2}"
)
"""What looks like a secret: long, of letters and digits, no sentence. A hash goes too, which costs little."""
_SECRET_NAMES = re.compile(r"TOKEN|KEY|SECRET|PASS|CREDENTIAL|AUTH", re.IGNORECASE)
_ASSIGNED = re.compile(
    r"(?i)\b([\w-]*(?:token|api[_-]?key|secret|password|passwd)[\w-]*)(\s*[=: ]\s*)"
    r"(?!\d+\b)(\"[^\"]*\"|'[^']*'|[^\s,;]+)"
)
_URL = re.compile(r"\b([a-z][a-z0-9+.-]*)://([^\s/'\"<>)\]]+)((?:/[^\s'\"<>)\]]*)?)", re.IGNORECASE)
_OPEN_HOSTS = {"huggingface.co", "hf.co", "github.com", "pytorch.org", "pypi.org", "docs.python.org"}
_MAIL = re.compile(r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_ADDRESS = re.compile(
    r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.])|\b(?:[0-9a-f]{1,4}:){4,7}[0-9a-f]{1,4}\b", re.IGNORECASE
)
# Of an absolute path; a blank ends it unless it is quoted.
_QUOTED = re.compile(r"([\"'])((?:~|[A-Za-z]:)?[/\\][^\"'\n]*)\1")
_PATH = re.compile(
    r"(?<![\w/\\.:])(?:~|[A-Za-z]:)?(?:[/\\][^\s\"'/\\:,;)\]>|]+){2,}[/\\]?|(?<![\w/\\.])~[\w.-]*(?=[/\\]|$)"
)


def scrubbed(text: str) -> str:
    """The text without anything personal. What is left of a path is its last part, of a library's all below it."""
    for home in _homes():
        text = text.replace(home, "~")
    text = _URL.sub(_url, text)
    text = _MAIL.sub("<mail>", text)
    text = _ASSIGNED.sub(r"\1\2<secret>", text)
    for value in _secrets():
        text = text.replace(value, "<secret>")
    text = _QUOTED.sub(lambda found: f"{found[1]}{_path(found[2])}{found[1]}", text)
    text = _PATH.sub(lambda found: _path(found[0]), text)
    text = _TOKENS.sub("<secret>", text)
    text = _ADDRESS.sub("<address>", text)
    for word, said in _own_words():
        # A user's name is a word alone, and not a part of others.
        text = re.sub(rf"(?<![A-Za-z0-9]){re.escape(word)}(?![A-Za-z0-9])", said, text, flags=re.IGNORECASE)
    return text


def _path(path: str) -> str:
    """``site-packages/torch/x.py`` of a library, ``.../train.py`` of anything else."""
    parts = re.split(r"[/\\]", path.rstrip("/\\"))
    # A home folder itself: its last part is somebody's name.
    if parts[-1].startswith("~") or (len(parts) == 3 and parts[1].lower() in {"home", "users"}):
        return "..."
    for at, part in enumerate(parts):
        if part in {"site-packages", "dist-packages"}:
            return "/".join(parts[at:])
    # Python's own library, by its folder's name.
    for at, part in enumerate(parts):
        if re.fullmatch(r"python3\.\d+", part) and at + 1 < len(parts):
            return "/".join(parts[at:])
    if "inspector" in parts[:-1]:
        return "/".join(parts[parts.index("inspector") :]) if _is_ours(path) else f".../{parts[-1]}"
    return f".../{parts[-1]}" if parts[-1] else "..."


def _is_ours(path: str) -> bool:
    return str(Path(__file__).parents[1]) in path


def _url(found: re.Match[str]) -> str:
    host = found[2].rpartition("@")[2].partition(":")[0].lower()
    if host in _OPEN_HOSTS:
        # A query may hold a signature.
        return f"{found[1]}://{host}{found[3].partition('?')[0]}"
    return f"{found[1]}://<host>"


def _homes() -> list[str]:
    """The home folder as it may stand in a text: a blank in it would end a path."""
    with suppress(Exception):
        home = str(Path.home())
        return [home] if len(home) > 3 else []
    return []


@cache
def _own_words() -> tuple[tuple[str, str], ...]:
    """The user and the host by every name they go by, the longest first."""
    users, hosts = set(), set()
    with suppress(Exception):  # it asks the environment, then the system, each of which may know nobody
        users.add(getpass.getuser())
    users |= {os.environ.get(name, "") for name in ("USER", "LOGNAME", "USERNAME", "SUDO_USER")}
    with suppress(Exception):
        users.add(Path.home().name)
    with suppress(OSError):
        hosts.add(socket.gethostname())
    hosts |= {os.environ.get(name, "") for name in ("HOSTNAME", "COMPUTERNAME")}
    hosts |= {host.partition(".")[0] for host in hosts}
    # Of one letter, or a name that every machine has, nobody is known by.
    found = [(word, "<user>") for word in users if len(word) > 1] + [
        (word, "<host>") for word in hosts if len(word) > 1 and word.lower() != "localhost"
    ]
    return tuple(sorted(found, key=lambda pair: -len(pair[0])))


def _secrets() -> list[str]:
    """What the environment calls a token, a key or a password."""
    found = [value for name, value in os.environ.items() if _SECRET_NAMES.search(name) and len(value) > 5]
    return sorted(found, key=len, reverse=True)
