"""A folder of safetensors, sharded or single, with or without an index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inspector.checkpoint import MAX_TENSORS, Checkpoint, FileTensor
from inspector.errors import InspectorError
from inspector.files import read_json_object
from inspector.sources.headers import read_headers
from inspector.sources.loaded_files import PICKLES, left_alone, loaded_files, pickle_refused
from inspector.sources.safetensors import read_header

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from inspector.sources.headers import Header

MAX_INDEX_BYTES, MAX_INDEX_VALUES = 60_000_000, 2 * MAX_TENSORS
"""An entry of an index takes about 120 bytes."""


def read_folder(folder: Path, config: dict[str, Any] | None = None) -> Checkpoint | None:
    """What a folder's safetensors store; None when it has none and no pickles either.

    Raises InspectorError for pickles or GGUF files alone, a broken file, or an index that names what is not there.
    """
    listed = sorted(path.name for path in _listed(folder))
    taken = loaded_files(listed, config)
    if not taken.files and not taken.index:
        if ggufs := [name for name in listed if name.endswith(".gguf")]:
            raise InspectorError(f"{folder} holds GGUF files", hint=f"name one: {folder / ggufs[0]}")
        # With a config the model is known without its weights.
        if config is None and (pickles := [name for name in listed if name.endswith(PICKLES)]):
            raise pickle_refused(pickles[0])
        return None
    names, notes = list(taken.files), taken.notes
    promised: Mapping[str, str] = {}
    if taken.index:
        index = read_json_object(folder / taken.index, limit=MAX_INDEX_BYTES, values=MAX_INDEX_VALUES)
        promised, notes = weight_map(index, taken.index), (*notes, *index_notes(index))
        names = sorted(set(promised.values()))
        if missing := [name for name in names if not (folder / name).is_file()]:
            raise InspectorError(
                f"{taken.index} names {missing[0]} and {len(missing) - 1:,} more that are not in the folder"
                if len(missing) > 1
                else f"{taken.index} names {missing[0]}, which is not in the folder",
                hint="download the rest of the shards",
            )
    notes += left_alone(listed, {*names, taken.index})
    return read_files(folder, names, promised, config or {}, notes)


def unread_in(folder: Path, config: dict[str, Any] | None) -> str:
    """What transformers loads of a folder and is not opened here; empty when there is no such file."""
    return loaded_files([path.name for path in _listed(folder)], config).unread


def read_files(
    folder: Path,
    names: list[str],
    promised: Mapping[str, str] | None = None,
    config: dict[str, Any] | None = None,
    notes: tuple[str, ...] = (),
) -> Checkpoint:
    """The checkpoint in these files of a folder. Raises InspectorError when one is broken."""
    # Four: what takes the time is parsing, which the interpreter does one thread at a time.
    read = read_headers(names, lambda name, budget: read_header(folder / name, budget), threads=4)
    return assemble(folder.resolve().name, names, read, promised or {}, config or {}, notes)


def assemble(
    name: str,
    files: Iterable[str],
    headers: Sequence[Header],
    promised: Mapping[str, str],
    config: dict[str, Any],
    notes: tuple[str, ...] = (),
) -> Checkpoint:
    """One checkpoint of several headers, held against the index.

    Of a tensor that two shards of one index have the last is loaded, by the names of the shards, whichever the index
    says (transformers ``PreTrainedModel._load_pretrained_model``). Raises InspectorError for one without an index.
    """
    seen: dict[str, FileTensor] = {}
    again: list[FileTensor] = []
    for tensor in (tensor for _, header in headers for tensor in header):
        if (other := seen.get(tensor.name)) is not None:
            if not promised:
                raise InspectorError(
                    f"tensor {tensor.name[:80]!r} is both in {other.file} and in {tensor.file}",
                    hint="the folder holds more than one checkpoint; leave one of them, or add its index",
                )
            again.append(other)
        seen[tensor.name] = tensor
    tensors = tuple(seen.values())
    if again:
        size = sum(tensor.nbytes for tensor in again)
        several = f"{len(again):,} tensors are" if len(again) > 1 else "a tensor is"
        of = f"such as {again[0].name[:80]}: the last shard's is loaded, {size:,} bytes are not"
        notes += (f"{several} in more than one shard, {of}",)
    if absent := [key for key in promised if key not in seen]:
        notes += (f"the index promises {len(absent):,} tensors that no file has, such as {absent[0][:80]}",)
    if promised and (extra := [key for key in seen if key not in promised]):
        notes += (f"{len(extra):,} tensors are not in the index, such as {extra[0][:80]}",)
    return Checkpoint(name, "safetensors", tensors, tuple(files), sum(size for size, _ in headers), config, notes)


def index_notes(index: Mapping[str, Any]) -> tuple[str, ...]:
    """What transformers misses in an index."""
    # utils/hub.py, `get_checkpoint_shard_files`: it takes `metadata` without asking.
    return () if "metadata" in index else ("the index has no metadata, without which from_pretrained stops",)


def weight_map(index: Mapping[str, Any], name: str) -> Mapping[str, str]:
    """The tensors an index promises and their files. Raises InspectorError when a file is not beside the index."""
    found = index.get("weight_map")
    if not isinstance(found, dict) or not found:
        raise InspectorError(f"{name} has no weight_map", hint="is this the index of a safetensors model?")
    for file in set(map(str, found.values())):
        # A name from a stranger's index is opened below the folder: nothing that could lead out of it.
        if not file.endswith(".safetensors") or "/" in file or "\\" in file or "\0" in file or file.startswith("."):
            raise InspectorError(
                f"{name} names {file[:80]!r}, which is no safetensors file beside it",
                hint="such an index is refused: it could point anywhere",
            )
    return {str(key): str(file) for key, file in found.items()}


def _listed(folder: Path) -> list[Path]:
    try:
        # ``save_pretrained("model.safetensors")`` makes a folder of this name, which transformers does not load.
        return [path for path in folder.iterdir() if not path.is_dir()]
    except OSError as error:
        raise InspectorError(f"cannot read {folder}: {error.strerror or error}") from error
