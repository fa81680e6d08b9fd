"""A folder of safetensors, sharded or single, with or without an index; and why pickles are not read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inspector.checkpoint import MAX_TENSORS, Checkpoint, FileTensor
from inspector.errors import InspectorError
from inspector.files import read_json_object
from inspector.sources.headers import read_headers
from inspector.sources.safetensors import read_header

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from inspector.sources.headers import Header

INDEX_SUFFIX = ".safetensors.index.json"
MAX_INDEX_BYTES, MAX_INDEX_VALUES = 60_000_000, 2 * MAX_TENSORS
"""An entry of an index takes about 120 bytes."""

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")


def read_folder(folder: Path, config: dict[str, Any] | None = None) -> Checkpoint | None:
    """What a folder's safetensors store; None when it has none and no pickles either.

    Raises InspectorError for pickles alone, a broken file, or an index that names what is not in the folder.
    """
    names = sorted(path.name for path in _listed(folder) if path.suffix == ".safetensors" and _is_model_file(path.name))
    indexes = sorted(path.name for path in _listed(folder) if path.name.endswith(INDEX_SUFFIX))
    if not names and not indexes:
        pickles = sorted(path.name for path in _listed(folder) if path.suffix in PICKLES)
        # With a config the model is known without its weights.
        if pickles and config is None:
            raise pickle_refused(pickles[0])
        return None
    notes: tuple[str, ...] = ()
    promised: Mapping[str, str] = {}
    if indexes:
        chosen = "model.safetensors.index.json"
        # The usual one where there are several: the others are of variants, such as fp16.
        chosen = chosen if chosen in indexes else indexes[0]
        promised = weight_map(read_json_object(folder / chosen, limit=MAX_INDEX_BYTES, values=MAX_INDEX_VALUES), chosen)
        inside = sorted(set(promised.values()))
        if missing := [name for name in inside if not (folder / name).is_file()]:
            raise InspectorError(
                f"{chosen} names {missing[0]} and {len(missing) - 1:,} more that are not in the folder"
                if len(missing) > 1
                else f"{chosen} names {missing[0]}, which is not in the folder",
                hint="download the rest of the shards",
            )
        if beside := set(names) - set(inside):
            notes = (f"{len(beside)} safetensors files are not in the index and were left out",)
        names = inside
    return read_files(folder, names, promised, config or {}, notes)


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
    """One checkpoint of several headers, held against the index. Raises InspectorError when a name is there twice."""
    tensors = tuple(tensor for _, header in headers for tensor in header)
    seen: dict[str, FileTensor] = {}
    for tensor in tensors:
        if (other := seen.setdefault(tensor.name, tensor)) is not tensor:
            raise InspectorError(
                f"tensor {tensor.name[:80]!r} is both in {other.file} and in {tensor.file}",
                hint="the folder holds more than one checkpoint; leave one of them, or add its index",
            )
    if absent := [key for key in promised if key not in seen]:
        notes += (f"the index promises {len(absent):,} tensors that no file has, such as {absent[0][:80]}",)
    if promised and (extra := [key for key in seen if key not in promised]):
        notes += (f"{len(extra):,} tensors are not in the index, such as {extra[0][:80]}",)
    return Checkpoint(name, "safetensors", tensors, tuple(files), sum(size for size, _ in headers), config, notes)


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


def pickle_refused(name: str) -> InspectorError:
    """Why a pickle is not opened."""
    return InspectorError(
        f"{name} is a pickle, which can run any code when it is opened",
        hint="convert it once where you trust it: save_pretrained writes safetensors",
    )


def _is_model_file(name: str) -> bool:
    """Adapters and the original format of Mistral (``consolidated``) are other copies, not parts of the model."""
    return not name.startswith(("adapter_", "consolidated"))


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise InspectorError(f"cannot read {folder}: {error.strerror or error}") from error
