"""What a training leaves on the disk, and what the machine's memory holds meanwhile."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SavedFile:
    """A file by its name, with all its bytes."""

    name: str
    nbytes: int


@dataclass(frozen=True, slots=True)
class OnHost:
    """What is in the machine's memory at some moment, in words, and its bytes."""

    what: str
    nbytes: int


@dataclass(frozen=True, slots=True)
class Saved:
    """One save. ``files`` are those whose size the model decides: a tokenizer and Trainer's notes are some MB more.

    ``kept`` is how many stay on the disk; ``host`` is what is there at different moments, each by itself.
    """

    files: tuple[SavedFile, ...]
    host: tuple[OnHost, ...]
    kept: int = 1

    @property
    def nbytes(self) -> int:
        """Bytes of one save."""
        return sum(file.nbytes for file in self.files)

    @property
    def disk_bytes(self) -> int:
        """Bytes of all that stay; while another is written it is there too, before the oldest goes."""
        return self.nbytes * self.kept
