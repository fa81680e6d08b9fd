"""GGUF files on the hub: ``org/name:file.gguf``. Only headers are asked for, by ranges that grow as they are read."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from inspector.errors import InspectorError
from inspector.sources.gguf import GgufHeader, merged, parse_gguf, split_names
from inspector.sources.gguf_source import GgufSource
from inspector.sources.gguf_stream import MAX_HEADER
from inspector.sources.http import Reply, explained, fetch

if TYPE_CHECKING:
    from inspector.checkpoint import Checkpoint
    from inspector.sources.hub import HubModel

_FIRST = 1 << 20
"""Bytes of the first range; a vocabulary of 128,000 tokens with its merges takes about 8 MB, so the next is 16 MB."""


@dataclass(frozen=True)
class HubGguf(GgufSource):
    """One GGUF file of a repository, or the first of several it was split into."""

    model: HubModel
    file: str

    @cached_property
    def stored(self) -> Checkpoint:
        """What the file, and the splits beside it, store."""
        names = split_names(self.file)
        if missing := [name for name in names if name not in self.model.files]:
            raise InspectorError(f"{self.model.repo} has no {missing[0]}", hint="its splits belong together")
        read = [self._header(name) for name in names]
        return merged(self.name, names, [header for header, _ in read], sum(size for _, size in read))

    def _header(self, name: str) -> tuple[GgufHeader, int]:
        try:
            reply = self.model.kept(name, lambda: self._fetch(name))
        except Exception as error:  # noqa: BLE001 -- what is unknown is raised again
            raise explained(error, self.model.repo) from None
        return parse_gguf(io.BytesIO(reply.data), reply.size, name), reply.size

    def _fetch(self, name: str) -> Reply:
        stream = _Growing(self.model.url(name))
        parse_gguf(stream, stream.reply.size, name)  # type: ignore[arg-type]
        # What was read of it is the header; the rest of the range is data.
        return Reply(stream.reply.data[: stream.place], stream.reply.size)


class _Growing:
    """The start of a remote file as a stream: it asks for sixteen times as much when it runs out."""

    def __init__(self, url: str) -> None:
        self.url, self.place = url, 0
        self.reply = fetch(url, limit=MAX_HEADER, ask=_FIRST)

    def read(self, count: int) -> bytes:
        # Sixteen times as much each time: three requests reach the limit of a header.
        while self.place + count > len(self.reply.data) < min(self.reply.size, MAX_HEADER):
            self.reply = fetch(self.url, limit=MAX_HEADER, ask=min(16 * len(self.reply.data), MAX_HEADER))
        data = self.reply.data[self.place : self.place + count]
        self.place += len(data)
        return data


def hub_gguf(model: HubModel, wanted: str) -> HubGguf:
    """The file of a repository, by its name or a unique part of it, such as ``Q4_K_M``.

    Raises InspectorError with the list when none or several are meant.
    """
    files = sorted(name for name in model.files if name.lower().endswith(".gguf"))
    # The first split stands for its model.
    firsts = [name for name in files if split_names(name)[0] == name]
    found = [wanted] if wanted in files else [name for name in firsts if wanted.lower() in name.lower()]
    # By its name alone: a projector lies beside its model, in the same types (docs/gguf.md, naming convention).
    models = [name for name in found if "mmproj" not in name.rpartition("/")[2].lower()]
    found = models if len(models) == 1 else found
    if len(found) != 1:
        several = ", ".join(name[:80] for name in (found or firsts)[:12]) or "none"
        raise InspectorError(
            f"{model.repo} has {len(found)} GGUF files named {wanted[:60]!r}" if wanted else f"{model.repo} is GGUF",
            hint=f"add one as {model.repo}:FILE: {several}",
        )
    return HubGguf(f"{model.name}:{found[0]}", f"{model.where}/{found[0]}", model, found[0])
