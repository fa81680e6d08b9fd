"""Where a statement may begin: not within a string, not within brackets, not after a backslash."""

from __future__ import annotations

import re

# What a scan of Python must know: strings' quotes, comments, brackets. A backslash takes the next character with it.
_MARKS = re.compile(r"'''|\"\"\"|'|\"|#|[(\[{]|[)\]}]|\\.?")


class Scanner:
    """Follows a text of Python line by line."""

    def __init__(self) -> None:
        self._quote = ""
        self._depth = 0
        self._continued = False

    @property
    def inside(self) -> bool:
        """Whether the next line goes on with something that a line before began."""
        return bool(self._quote) or self._depth > 0 or self._continued

    def feed(self, line: str) -> None:
        """Read one line."""
        self._continued = False
        at = 0
        while (found := _MARKS.search(line, at)) is not None:
            mark, at = found[0], found.end()
            if mark.startswith("\\"):
                self._continued = at == len(line) and mark == "\\"
            elif self._quote:
                if mark == self._quote:
                    self._quote = ""
                elif mark in {"'''", '"""'} and mark[0] == self._quote:
                    # Within '...' three of its quotes are its end and two more: the next begins after the first.
                    self._quote = ""
                    at = found.start() + 1
            elif mark == "#":
                return
            elif mark[0] in "'\"":
                self._quote = mark
            else:
                self._depth = max(0, self._depth + (1 if mark in "([{" else -1))
        # A string of one line ends with it, unless its last character is a backslash.
        if len(self._quote) == 1 and not self._continued:
            self._quote = ""
