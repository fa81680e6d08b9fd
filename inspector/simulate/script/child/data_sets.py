"""Data sets of the hub: what is on disk, a file that the user gives instead, rows of given lengths, or one line."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inspector.errors import InspectorError
from inspector.simulate.script.child.errors import handed_on
from inspector.simulate.script.child.replaced import replace

if TYPE_CHECKING:
    from types import ModuleType

    from inspector.simulate.script.child.world import World

READERS = {".jsonl": "json", ".json": "json", ".csv": "csv", ".tsv": "csv", ".parquet": "parquet", ".txt": "text"}
"""Which of the library's builders reads a file."""

WORD = " a"
"""One token, to the tokenizer that stands in and to nearly every other."""


def install(world: World) -> None:
    """Answer as soon as the library is imported."""
    world.imports.then("datasets.load", lambda module: _load(world, module))
    world.imports.then("datasets.arrow_dataset", lambda module: _saving(world, module))


def _load(world: World, module: ModuleType) -> None:
    original = module.load_dataset

    def load_dataset(path: Any, *args: object, **kwargs: Any) -> Any:
        name = str(path)
        if name in world.job.data:
            file = world.job.data[name]
            world.skip(f"the data set {name}: {file} stands in its place (--data)")
            split, streaming = kwargs.get("split"), bool(kwargs.get("streaming"))
            files = dict.fromkeys(_splits(split), file)
            found = original(READERS[Path(file).suffix], data_files=files, split=split, streaming=streaming)
            return found if split is not None else _any_split(world, name, found)
        local = name in {"json", "csv", "text", "parquet", "arrow", "imagefolder"} or Path(name).exists()
        if world.job.lengths and not local:
            streaming = bool(kwargs.get("streaming"))
            return _of_lengths(world, module, name, kwargs.get("split"), streaming=streaming)
        try:
            return handed_on(original, path, *args, **kwargs)
        except (ConnectionError, FileNotFoundError) as error:
            if local or world.job.network:
                raise
            raise InspectorError(
                f"the data set {name} is not on this disk, and nothing is downloaded",
                hint=f"--data {name}=rows.jsonl with a few of its rows, or --lengths; --network fetches it",
            ) from error

    replace("datasets.load.load_dataset", load_dataset)


def _saving(world: World, module: ModuleType) -> None:
    """Several processes, which datasets 5 spawns to write a data set, would have no world: one writes it."""
    save = module.Dataset.save_to_disk

    @functools.wraps(save)
    def save_to_disk(self: object, *args: object, **kwargs: object) -> Any:
        if kwargs.get("num_proc"):
            kwargs["num_proc"] = None
            world.skip("processes of its own that write a data set: this one writes it")
        return handed_on(save, self, *args, **kwargs)

    replace("datasets.arrow_dataset.Dataset.save_to_disk", save_to_disk)


def _splits(split: Any) -> list[str]:
    """The splits that are named in what ``split=`` may be: each has the rows of the one file.

    Such as ``train[:10%]+test``, a ``ReadInstruction``, or a list of them; without one the two that scripts ask for.
    """
    if isinstance(split, list | tuple):
        return list(dict.fromkeys(name for each in split for name in _splits(each)))
    text = "" if split is None else str(split.to_spec() if hasattr(split, "to_spec") else split)
    names = [re.split(r"[\[(]", part)[0].strip() for part in text.split("+")]
    return ["train", "test"] if names in ([""], ["all"]) else names


def _any_split(world: World, name: str, splits: Any) -> Any:
    """Splits that answer to any other name as well: what a data set calls its splits only the hub knows."""

    def missing(self: Any, split: object) -> Any:
        world.skip(f"the data set {name}, split {split}: the same rows")
        return self["train"]

    return type(type(splits).__name__, (type(splits),), {"__missing__": missing})(splits)


def _of_lengths(world: World, module: ModuleType, name: str, split: object, *, streaming: bool) -> Any:
    """Rows of text with so many tokens each, in what ``split`` asks for or in a dictionary of splits."""
    world.skip(f"the data set {name}: rows of text of the given lengths stand in its place (--lengths)")
    rows = module.Dataset.from_dict({"text": [WORD * length for length in world.job.lengths]})
    if streaming:
        rows = rows.to_iterable_dataset()
    if isinstance(split, list | tuple):
        return [rows for _ in split]
    if split is not None:
        return rows
    kind = module.IterableDatasetDict if streaming else module.DatasetDict
    return _any_split(world, name, kind({"train": rows, "test": rows}))
