"""A model on the hub: its config and the headers of its safetensors. Weights are never downloaded."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import struct
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inspector.architecture.own_code import own_classes
from inspector.checkpoint.equal_values import TensorReader
from inspector.errors import InspectorError
from inspector.files import MAX_JSON_BYTES, json_object, write_bytes
from inspector.sources.budget import Budget
from inspector.sources.file_tree import inside
from inspector.sources.folder import MAX_INDEX_BYTES, MAX_INDEX_VALUES, assemble, index_notes, weight_map
from inspector.sources.headers import Header, read_headers
from inspector.sources.http import Reply, explained, fetch, is_passing
from inspector.sources.loaded_files import PICKLES, left_alone, loaded_files, pickle_refused, unread_error
from inspector.sources.safetensors import MAX_HEADER, PREFIX, header_length, parse_header
from inspector.sources.source import Source
from inspector.store.entries import keep, kept, store_folder, stored

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from inspector.checkpoint import Checkpoint, FileTensor

logger = logging.getLogger("inspector")

_FIRST = 256 * 1024
"""Bytes asked for at once: nearly every shard's header fits, so one request does."""

# At once, for what a header takes is the way to the hub and back, not its bytes.
_CONNECTIONS = 8
_COMMIT = re.compile(r"[0-9a-f]{7,64}")


def reached(repo: str, revision: str = "") -> HubModel | Path:
    """A model of the hub at a revision: as it is listed now; out of reach, what was read of it before, said aloud.

    A path is its snapshot in huggingface_hub's own cache. Raises InspectorError with what to do when it is missing,
    gated, private, rate-limited or offline, and nothing of it was read before.
    """
    from huggingface_hub import constants

    try:
        if constants.is_offline_mode():
            return offline(repo, revision)
        model = remote(repo, revision)
        _ = model.config  # gated models are listed to everyone: only a file says that they are
    except Exception as error:  # noqa: BLE001 -- what is unknown is raised again
        said = explained(error, repo)
        # Only what passes: a model that is refused now is not answered from an earlier time.
        if is_passing(error) and (before := read_before(repo, revision)):
            logger.warning("%s; using what was read of it before (%s)", said.message, before.commit[:12])
            return before
        raise said from None
    return model


def code_of(repo: str) -> Path:
    """The folder with a repository's Python files, for what names its code. Raises InspectorError as `reached`."""
    found = reached(repo)
    return found.code() if isinstance(found, HubModel) else found


def offline(repo: str, revision: str) -> HubModel | Path:
    """What our cache, or huggingface_hub's own, holds of a model. Raises OfflineModeIsEnabled when it is nothing."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import OfflineModeIsEnabled

    if before := read_before(repo, revision):
        logger.warning("offline: using what was read of %s before (%s)", repo, before.commit[:12])
        return before
    # Any file would do that every model has: asked for is the folder around it.
    found = try_to_load_from_cache(repo, "config.json", revision=revision or None)
    if isinstance(found, str):
        return Path(found).parent
    raise OfflineModeIsEnabled


def read_before(repo: str, revision: str) -> HubModel | None:
    """The model as it was last listed online; its files come from the cache too."""
    listed = kept(_listing_entry(repo, revision))
    return _model(listed, repo) if listed is not None else None


def remote(repo: str, revision: str) -> HubModel:
    """The model as the hub lists it now: a branch that moved is another commit, of which nothing is cached."""
    from urllib.parse import quote

    from huggingface_hub import constants

    url = f"{constants.ENDPOINT}/api/models/{repo}/revision/{quote(revision or 'main', safe='')}"
    answer = fetch(url, limit=MAX_JSON_BYTES).data
    model = _model(answer, repo)
    # After it was read, so that an answer that is none is not kept.
    keep(_listing_entry(repo, revision), f"the list of {repo}'s files", answer)
    return model


def _listing_entry(repo: str, revision: str) -> Path:
    from huggingface_hub import constants

    return Path("hub-lists", _hash(constants.ENDPOINT, repo, revision or "main"))


def _hash(*parts: str) -> str:
    # As JSON, so that no two lists of parts make one text.
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _model(answer: bytes, repo: str) -> HubModel:
    commit, files = listing(answer, repo)
    return HubModel(repo, f"hub: {repo}@{commit[:12]}", repo, commit, files)


def listing(data: bytes, repo: str) -> tuple[str, tuple[str, ...]]:
    """The commit and the files in the hub's answer on a model. Raises InspectorError when it says neither."""
    said = json_object(data.decode("utf-8", "replace"), f"the hub's answer on {repo}")
    listed, commit = said.get("siblings"), said.get("sha")
    if not isinstance(listed, list) or not isinstance(commit, str) or not _COMMIT.fullmatch(commit):
        raise InspectorError(f"the hub's answer on {repo} lists no files", hint="is HF_ENDPOINT right?")
    names = (item.get("rfilename") for item in listed if isinstance(item, dict))
    return commit, tuple(name for name in names if isinstance(name, str))


@dataclass(frozen=True)
class HubModel(Source):
    """A model on the hub at one commit, and the names of its files."""

    repo: str
    commit: str
    files: tuple[str, ...]

    @cached_property
    def config(self) -> dict[str, Any] | None:
        """Its ``config.json``, kept on disk by commit."""
        return self._json("config.json") if "config.json" in self.files else None

    def code_folders(self, config: Mapping[str, Any]) -> dict[str, Path]:
        """Its Python files at this commit, and those of other repositories it names, kept on disk."""
        others = {reference.rpartition("--")[0] for reference in own_classes(config).values()} - {"", self.repo}
        folder = self.code()
        return {"": folder, self.repo: folder, **{repo: code_of(repo) for repo in sorted(others)}}

    def code(self) -> Path:
        """The folder on disk with its Python files at this commit, those in folders of the repository left out."""
        folder = store_folder() / "code" / f"{self.repo.replace('/', '--')}@{self.commit[:40]}"
        for name in self.files:
            if re.fullmatch(r"\w[\w-]*\.py", name):
                write_bytes(folder / name, self._bytes(name))
        return folder

    @cached_property
    def checkpoint(self) -> Checkpoint | None:
        """What its safetensors store."""
        return self.stored("", self.buildable)

    def stored(self, folder: str, config: dict[str, Any] | None) -> Checkpoint | None:
        """What the safetensors in one folder (the root is ``""``) store: ranged reads of their headers, in parallel."""
        prefix = inside(folder, "")
        beside = [name.removeprefix(prefix) for name in self.files if name.startswith(prefix)]
        beside = [name for name in beside if "/" not in name]
        taken = loaded_files(beside, config)
        if not taken.files and not taken.index:
            if not folder:
                self._refuse_what_is_there(taken.unread)
            return None
        names, promised, notes = list(taken.files), {}, taken.notes
        if taken.index:
            index = self._index(prefix + taken.index)
            promised, notes = dict(weight_map(index, taken.index)), (*notes, *index_notes(index))
            names = sorted(set(promised.values()))
        notes += left_alone(beside, {*names, taken.index}, on_hub=not folder)
        return self.read([prefix + name for name in names], promised, config or {}, notes)

    def read(
        self, names: list[str], promised: dict[str, str], config: dict[str, Any], notes: tuple[str, ...] = ()
    ) -> Checkpoint:
        """What these safetensors store. Raises InspectorError when one is broken or cannot be read."""
        try:
            headers = read_headers(names, self._header, _CONNECTIONS)
        except Exception as error:  # noqa: BLE001 -- what is unknown is raised again
            raise explained(error, self.repo) from None
        return assemble(self.name, names, headers, promised, config, notes)

    def _refuse_what_is_there(self, unread: str) -> None:
        """Say why a repository has no checkpoint for us; ``unread`` is what transformers loads of it."""
        if unread:
            raise unread_error(unread)
        if ggufs := sorted(name for name in self.files if name.endswith(".gguf")):
            raise InspectorError(f"{self.repo} holds GGUF files", hint=f"name one: {self.repo}:{ggufs[0]}")
        if pickles := sorted(name for name in self.files if name.endswith(PICKLES)):
            raise pickle_refused(pickles[0])

    def _json(self, name: str) -> dict[str, Any]:
        return json_object(self.text(name), f"{name} of {self.repo}")

    def _index(self, name: str) -> dict[str, Any]:
        text = self._bytes(name, MAX_INDEX_BYTES).decode("utf-8", "replace")
        return json_object(text, f"{name} of {self.repo}", values=MAX_INDEX_VALUES)

    def text(self, name: str) -> str:
        """A small file's whole content. Raises InspectorError when it is not text."""
        try:
            return self._bytes(name).decode("utf-8")
        except UnicodeDecodeError:
            raise InspectorError(f"{name} of {self.repo} is not text") from None

    def _bytes(self, name: str, limit: int = MAX_JSON_BYTES) -> bytes:
        """A small file's whole content."""
        try:
            return self.kept(name, lambda: fetch(self.url(name), limit=limit)).data
        except Exception as error:  # noqa: BLE001 -- what is unknown is raised again
            raise explained(error, self.repo) from None

    def _header(self, name: str, budget: Budget) -> Header:
        """File size and tensors of one shard."""
        reply = self.kept(name, lambda: self._fetch_header(name, budget))
        length = header_length(reply.data[:PREFIX], reply.size, name)
        return reply.size, parse_header(reply.data[PREFIX : PREFIX + length], reply.size, name)

    @property
    def reader(self) -> TensorReader:
        """By ranges, and not whole: a large embedding takes minutes to come."""
        return TensorReader(self._tensor_bytes, whole=False)

    def _tensor_bytes(self, tensor: FileTensor, start: int, length: int) -> bytes:
        try:
            whole = Budget("bytes of header", MAX_HEADER)
            head = self.kept(tensor.file, lambda: self._fetch_header(tensor.file, whole))
            begin = len(head.data) + tensor.start + start
            # By its place in the name, which no file of a repository has.
            return self.kept(
                f"{tensor.file}//{begin}+{length}",
                lambda: fetch(self.url(tensor.file), limit=length, ask=length, start=begin),
            ).data
        except Exception as error:  # noqa: BLE001 -- what is unknown is raised again
            raise explained(error, self.repo) from None

    def _fetch_header(self, name: str, budget: Budget) -> Reply:
        # One request for nearly every file: the length and the header in one range.
        reply = fetch(self.url(name), limit=_FIRST, ask=_FIRST)
        length = header_length(reply.data[:PREFIX], reply.size, name)
        budget.take(length)
        end = PREFIX + length
        if end > len(reply.data):
            reply = fetch(self.url(name), limit=PREFIX + MAX_HEADER, ask=end)
        # What came behind the header is data of the first tensor, and not kept.
        return Reply(reply.data[:end], reply.size)

    def url(self, name: str) -> str:
        """Where a file of this commit is."""
        from huggingface_hub import hf_hub_url

        return str(hf_hub_url(self.repo, name, revision=self.commit))

    def kept(self, name: str, get: Callable[[], Reply]) -> Reply:
        """A reply from our cache, or a new one, which is then kept: a commit's files never change."""
        from huggingface_hub import constants

        return stored(
            Path("hub", _hash(constants.ENDPOINT, self.repo, self.commit, name)),
            f"the header of {name}" if name.endswith(".safetensors") else name,
            # The size of the whole file goes before the bytes: they are only its beginning.
            load=lambda data: Reply(data[8:], int.from_bytes(data[:8], "little")),
            make=get,
            dump=lambda reply: struct.pack("<Q", reply.size) + reply.data,
            limit=8 + PREFIX + MAX_HEADER,
        )
