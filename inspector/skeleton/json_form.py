"""A skeleton as JSON and back. Identical layers are stored once, so a 70B model is a few kilobytes.

Format ``inspector.skeleton``, version 1: ``modules`` lists, in order, modules (``path``, ``class``, ``part``, ...,
with their ``tensors``) and runs of layers (``stack``, ``first``, ``count``, ``block``: an index into ``blocks``, each
the modules of one layer). ``again`` lists tensors of modules that are shared, under their further names: a module is
listed once, its tensors under each of its paths; ``at`` is the place among all tensors. A field left out has the
default of `inspector.skeleton`'s dataclasses.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from inspector.errors import InspectorError
from inspector.skeleton import ConfigFacts, Module, Skeleton, Tensor
from inspector.skeleton.identical_layers import Block, Entry, Run, fold, unfold

if TYPE_CHECKING:
    from collections.abc import Iterator

FORMAT = "inspector.skeleton"
VERSION = 1
MAX_LAYERS = 10_000
"""Layers of one run. A damaged file could ask for any number."""


def dumps(skeleton: Skeleton) -> str:
    """The skeleton as JSON text, one module a line, the same text for the same skeleton."""
    # In the order they are met, which numbers them the same for the same skeleton.
    blocks: dict[Block, int] = {}
    rows = [_item_row(item, blocks) for item in fold(skeleton)]
    again = [
        {**_tensor_row(tensor), "name": tensor.name, "at": place}
        for place, tensor in enumerate(skeleton.tensors)
        if tensor.owner not in skeleton.by_path
    ]
    head = {
        "format": FORMAT,
        "version": VERSION,
        "model_id": skeleton.model_id,
        "architecture": skeleton.architecture,
        "source": skeleton.source,
        "built_with": skeleton.built_with,
        "notes": list(skeleton.notes),
        "facts": skeleton.facts.to_dict(),
    }
    # One module a line, so that a change of a bundled skeleton is a readable diff.
    body = ",\n  ".join(json.dumps(row) for row in rows)
    layers = ",\n  ".join(
        "[\n    " + ",\n    ".join(json.dumps(_entry_row(entry)) for entry in block.entries) + "\n  ]"
        for block in blocks
    )
    text = json.dumps(head, indent=1).removesuffix("\n}")
    if again:
        text += ',\n "again": [\n  ' + ",\n  ".join(json.dumps(row) for row in again) + "\n ]"
    return f'{text},\n "modules": [\n  {body}\n ],\n "blocks": [\n  {layers}\n ]\n}}\n'


def loads(text: str) -> Skeleton:
    """The skeleton in a JSON text.

    Raises InspectorError when the text is not a skeleton of this format and version.
    """
    try:
        data = json.loads(text)
        if data["format"] != FORMAT or data["version"] != VERSION:
            raise InspectorError(f"not a skeleton of version {VERSION}", hint="build it again with this Inspector")
        return _skeleton(data)
    # A stranger's file can be wrong at any place below, and to check each would be the format written twice.
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise InspectorError("not a readable skeleton file", hint="build it again from the config") from error


def _skeleton(data: dict[str, Any]) -> Skeleton:
    blocks = [Block(tuple(_entry(row, "") for row in rows)) for rows in data["blocks"]]
    entries = list(unfold(_items(data["modules"], blocks)))
    return Skeleton(
        model_id=data["model_id"],
        architecture=data["architecture"],
        facts=ConfigFacts(**data["facts"]),
        modules=tuple(entry.module for entry in entries),
        tensors=tuple(_tensors(entries, data.get("again", []))),
        source=data["source"],
        built_with=data["built_with"],
        notes=tuple(data["notes"]),
    )


def _tensors(entries: list[Entry], again: list[dict[str, Any]]) -> Iterator[Tensor]:
    """All tensors in their order, those of shared modules under each of their names."""
    places = {row["at"]: _tensor({key: value for key, value in row.items() if key != "at"}, "") for row in again}
    place = 0
    for tensor in (tensor for entry in entries for tensor in entry.tensors):
        while place in places:
            yield places.pop(place)
            place += 1
        yield tensor
        place += 1
    while places:
        yield places.pop(place)  # a place behind all others is a KeyError
        place += 1


def _items(rows: list[dict[str, Any]], blocks: list[Block]) -> Iterator[Entry | Run]:
    for row in rows:
        if "stack" in row:
            # Before it is unfolded: the number alone decides how much memory that takes.
            if not 0 <= row["count"] <= MAX_LAYERS:
                raise ValueError("a run of layers longer than any model")
            yield Run(row["stack"], row["first"], row["count"], blocks[row["block"]])
        else:
            yield _entry(row, f"{row['path']}." if row["path"] else "")


def _item_row(item: Entry | Run, blocks: dict[Block, int]) -> dict[str, Any]:
    if isinstance(item, Entry):
        return _entry_row(item)
    number = blocks.setdefault(item.block, len(blocks))
    return {"stack": item.stack, "first": item.first, "count": item.count, "block": number}


def _entry_row(entry: Entry) -> dict[str, Any]:
    module = entry.module
    row: dict[str, Any] = {"path": module.path, "class": module.cls, "part": module.part}
    if module.base:
        row["base"] = module.base
    if module.keep:
        row["keep"] = True
    if module.transposed:
        row["transposed"] = True
    if entry.tensors:
        row["tensors"] = [_tensor_row(tensor) for tensor in entry.tensors]
    return row


def _tensor_row(tensor: Tensor) -> dict[str, Any]:
    # The last part alone: the path is said by the module, and in a block it is another in each layer.
    row: dict[str, Any] = {"name": tensor.name.rpartition(".")[2], "shape": list(tensor.shape)}
    # Fields at their defaults are left out: of an 8B model's tensors that is nearly all of them.
    for name, default in (("dtype", "float32"), ("role", "parameter"), ("persistent", True), ("tied_to", None),
                          ("pinned", "never")):  # fmt: skip
        if getattr(tensor, name) != default:
            row[name] = getattr(tensor, name)
    return row


def _entry(row: dict[str, Any], prefix: str) -> Entry:
    """A module's row; ``prefix`` goes before its tensors' names, none for an entry of a block."""
    flags = (row.get("keep", False), row.get("transposed", False))
    module = Module(row["path"], row["class"], row["part"], None, row.get("base", ""), *flags)
    return Entry(module, tuple(_tensor(tensor, prefix) for tensor in row.get("tensors", ())))


def _tensor(row: dict[str, Any], prefix: str) -> Tensor:
    return Tensor(**{**row, "name": prefix + row["name"], "shape": tuple(row["shape"])})
