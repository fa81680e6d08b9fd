"""One function for each parser of strangers' files. Anything it raises but InspectorError is a bug."""

from __future__ import annotations

import io

from inspector.build.sanity import check_sizes
from inspector.errors import InspectorError
from inspector.files import json_object
from inspector.skeleton_json import loads
from inspector.sources.folder import weight_map
from inspector.sources.gguf import parse_gguf
from inspector.sources.safetensors import PREFIX, header_length, parse_header


def safetensors(data: bytes) -> None:
    """A whole file: length, header, data."""
    length = header_length(data[:PREFIX], len(data), "f")
    parse_header(data[PREFIX : PREFIX + length], len(data), "f")


def gguf(data: bytes) -> None:
    """A whole file, with the config its metadata makes."""
    from inspector.sources.gguf_config import config_of

    header = parse_gguf(io.BytesIO(data), len(data), "f")
    config_of(header.metadata, header.tensors)


def index(data: bytes) -> None:
    """The index of a sharded checkpoint."""
    weight_map(json_object(data.decode("utf-8", "replace"), "f"), "f")


def config(data: bytes) -> None:
    """A ``config.json``, up to the point where torch would be asked."""
    check_sizes(json_object(data.decode("utf-8", "replace"), "f"))


def skeleton(data: bytes) -> None:
    """A skeleton from the cache."""
    loads(data.decode("utf-8", "replace"))


TARGETS = {"safetensors": safetensors, "gguf": gguf, "index": index, "config": config, "skeleton": skeleton}


def run(target: str, data: bytes) -> None:
    """Feed one input to a target; what it refuses is fine."""
    try:
        TARGETS[target](data)
    except InspectorError as error:
        if "\n" in error.message:
            raise AssertionError(f"more than one line: {error.message!r}") from error
