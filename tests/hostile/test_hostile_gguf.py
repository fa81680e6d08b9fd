"""GGUF from strangers: counts and strings that claim terabytes, bad alignment, unknown types."""

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.cli.main import run
from inspector.errors import InspectorError
from inspector.sources.gguf import parse_gguf


def text(value):
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(data)) + data


def header(tensors=0, pairs=0, version=3):
    return b"GGUF" + struct.pack("<IQQ", version, tensors, pairs)


def pair(key, kind, value):
    return text(key) + struct.pack("<I", kind) + value


def tensor(name="w", shape=(32,), kind=0, offset=0):
    return (
        text(name)
        + struct.pack("<I", len(shape))
        + struct.pack(f"<{len(shape)}Q", *shape)
        + struct.pack("<IQ", kind, offset)
    )


HUGE = struct.pack("<Q", 10**15)
LIES = {
    "empty": (b"", "does not begin"),
    "another format": (b"ELF\x7f" * 10, "does not begin"),
    "version 9": (header(version=9), "version 9"),
    "version 4, big-endian": (b"GGUF" + struct.pack(">IQQ", 4, 0, 0), "version"),
    "10^15 tensors": (header(tensors=10**15), "claims 1,000,000,000,000,000 tensors"),
    "10^15 entries": (header(pairs=10**15), "metadata entries"),
    "a key of a petabyte": (header(pairs=1) + HUGE, "where"),
    "a string of a petabyte": (header(pairs=1) + pair("k", 8, HUGE), "where"),
    "an array of a petabyte": (header(pairs=1) + pair("k", 9, struct.pack("<I", 4) + HUGE), "where"),
    "an array of 10^15 strings": (header(pairs=1) + pair("k", 9, struct.pack("<I", 8) + HUGE), "strings"),
    "an array of arrays": (header(pairs=1) + pair("k", 9, struct.pack("<IQ", 9, 1)), "arrays"),
    "an unknown metadata type": (header(pairs=1) + pair("k", 99, b""), "unknown type 99"),
    "a key twice": (header(pairs=2) + pair("k", 0, b"1") * 2, "twice"),
    "alignment 0": (header(pairs=1) + pair("general.alignment", 4, struct.pack("<I", 0)), "alignment 0"),
    "alignment 7": (header(pairs=1) + pair("general.alignment", 4, struct.pack("<I", 7)), "alignment 7"),
    "an alignment in words": (header(pairs=1) + pair("general.alignment", 8, text("x")), "alignment"),
    "an unknown type": (header(tensors=1) + tensor(kind=12345) + bytes(500), "unknown ggml type"),
    "a billion dimensions": (header(tensors=1) + text("w") + struct.pack("<I", 10**9), "dimensions"),
    "a shape of 2^192": (header(tensors=1) + tensor(shape=(2**64 - 1,) * 3), "cannot store"),
    "a row no block divides": (header(tensors=1) + tensor(shape=(33,), kind=2) + bytes(500), "cannot store"),
    "truncated": (header(tensors=1) + tensor(shape=(1024,)) + bytes(64), "truncated"),
    "overlapping": (header(tensors=2) + tensor("a") + tensor("b", offset=64) + bytes(500), "overlap"),
    "not aligned": (header(tensors=2) + tensor("a") + tensor("b", offset=129) + bytes(500), "aligned"),
    "a tensor twice": (header(tensors=2) + tensor("a") + tensor("a", offset=128) + bytes(500), "twice"),
    "escape codes": (header(tensors=1) + tensor("\x1b[31m\u202e", kind=12345), "unknown ggml type"),
}


@pytest.mark.parametrize("name", LIES)
def test_a_lie_is_one_clear_line(name, tmp_path, capsys):
    content, message = LIES[name]
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    assert run(["layers", str(path)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert len(err.splitlines()) <= 2
    assert "\x1b" not in err


@pytest.mark.parametrize("field", ["block_count", "embedding_length", "feed_forward_length", "attention.head_count"])
@pytest.mark.parametrize("value", [0, 10**9, 2**32 - 1])
def test_a_config_in_the_metadata_is_as_little_trusted(field, value, tmp_path, capsys):
    pairs = {
        "block_count": 2,
        "embedding_length": 64,
        "feed_forward_length": 64,
        "attention.head_count": 4,
        field: value,
    }
    data = pair("general.architecture", 8, text("llama"))
    data += b"".join(pair(f"llama.{key}", 4, struct.pack("<I", number)) for key, number in pairs.items())
    path = tmp_path / "model.gguf"
    path.write_bytes(
        header(tensors=1, pairs=5) + data + tensor("token_embd.weight", (64, 32)) + bytes(64 * 32 * 4 + 64)
    )
    for command in ("layers", "checkpoint"):
        assert run([command, str(path)]) == 0
        out, err = capsys.readouterr()
        assert "2,048" in out  # the one tensor's, whatever the header claims
        assert not err


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_are_a_header_or_one_line(data, begin):
    data = b"GGUF" + struct.pack("<I", 3) + data if begin else data
    try:
        parse_gguf(io.BytesIO(data), len(data), "f")
    except InspectorError as error:
        assert "\n" not in error.message  # noqa: PT017 -- refusing is as right as reading


_tensors = st.builds(
    tensor,
    st.text(max_size=4),
    st.lists(st.integers(0, 2**40), max_size=5).map(tuple),
    st.integers(0, 45),
    st.integers(0, 2**50),
)
_pairs = st.builds(pair, st.sampled_from(["k", "general.alignment"]), st.integers(0, 14), st.binary(max_size=16))


@given(st.lists(_pairs, max_size=3), st.lists(_tensors, max_size=3), st.integers(0, 300))
def test_any_structure_is_a_header_or_one_line(pairs, tensors, padding):
    data = header(len(tensors), len(pairs)) + b"".join(pairs) + b"".join(tensors) + bytes(padding)
    try:
        found = parse_gguf(io.BytesIO(data), len(data), "f")
    except InspectorError as error:
        assert "\n" not in error.message  # noqa: PT017
    else:
        assert sum(item.nbytes for item in found.tensors) <= len(data)
