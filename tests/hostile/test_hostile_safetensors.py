"""Safetensors from strangers: every lie is one clear line, quickly, and without the memory it asks for."""

import json
import os
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.cli.main import run
from inspector.errors import InspectorError
from inspector.sources.folder import read_folder
from inspector.sources.resolve import locate
from inspector.sources.safetensors import MAX_HEADER, PREFIX, header_length, parse_header


def packed(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(start=0, end=4, shape=(1,), dtype="F32"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}


LIES = {
    "empty": (b"", "first 8 bytes"),
    "three bytes": (b"abc", "first 8 bytes"),
    "a header beyond the file": (struct.pack("<Q", 10**18) + b"{}", "claims"),
    "a header of 2^64-1": (b"\xff" * 8 + b"{}", "claims"),
    "not JSON": (packed(b"{nope"), "not JSON"),
    "not text": (packed(b"\xff\xfe\x00"), "no JSON object"),
    "a name that is not text": (packed(b'{"\xff": {}}'), "not JSON"),
    "a list": (packed([]), "no JSON object"),
    "deep lists": (packed(b"[" * 300_000), "no JSON object"),
    "deep objects": (packed(b'{"a":' * 300_000), "not JSON"),
    "a deep shape": (packed(b'{"a":{"shape":' + b"[" * 90_000 + b"}}"), "nested too deeply"),
    "a huge number": (packed(b'{"a":{"shape":[' + b"9" * 6000 + b"]}}"), "not JSON"),
    "a name twice": (packed(b'{"a":{"dtype":"U8","shape":[],"data_offsets":[0,1]},"a":{}}', b"x"), "'a'"),
    "a field twice": (packed(b'{"a": {"dtype": "U8", "dtype": "U8"}}'), "appears twice"),
    "an entry that is a number": (packed({"a": 1}), "not JSON"),
    "an object in an entry": (packed({"a": {**entry(), "more": {}}}, bytes(4)), "not JSON"),
    "text after its end": (packed(b"{} x"), "not JSON"),
    "an object after its end": (packed(b'{"__metadata__":{}}{}'), "goes on"),
    "metadata of numbers": (packed({"__metadata__": {"a": 1}}), "not short strings"),
    "metadata of objects": (packed({"__metadata__": {"a": {}}}), "not short strings"),
    "metadata that is a list": (packed({"__metadata__": []}), "not JSON"),
    "overlapping": (packed({"a": entry(0, 4), "b": entry(2, 6)}, bytes(6)), "overlap"),
    "a gap": (packed({"a": entry(0, 4), "b": entry(8, 12)}, bytes(12)), "gap"),
    "out of range": (packed({"a": entry(0, 400, [100])}, bytes(4)), "truncated"),
    "data left over": (packed({"a": entry()}, bytes(40)), "lists 4"),
    "negative offsets": (packed({"a": entry(-4, 0)}, bytes(4)), "data_offsets"),
    "backwards": (packed({"a": entry(4, 0)}, bytes(4)), "data_offsets"),
    "offsets that are true": (packed({"a": {**entry(), "data_offsets": [False, True]}}), "data_offsets"),
    "an unknown dtype": (packed({"a": entry(dtype="F13")}, bytes(4)), "unknown dtype"),
    "a shape of 10^30": (packed({"a": entry(shape=[10**30])}, bytes(4)), "no sensible shape"),
    "a shape that multiplies to 10^30": (packed({"a": entry(shape=[10**10] * 3)}, bytes(4)), "no sensible shape"),
    "a thousand dimensions": (packed({"a": entry(shape=[1] * 1000)}, bytes(4)), "no sensible shape"),
    "a negative shape": (packed({"a": entry(shape=[-1])}, bytes(4)), "no sensible shape"),
    "a wrong size": (packed({"a": entry(shape=[2])}, bytes(4)), "do not make"),
    "escape codes": (packed({"\x1b[31m\u202ered": entry(dtype="\x1b]0;x\x07")}, bytes(4)), "unknown dtype"),
}


@pytest.mark.parametrize("name", LIES)
def test_a_lie_is_one_clear_line(name, tmp_path, capsys):
    content, message = LIES[name]
    (tmp_path / "model.safetensors").write_bytes(content)
    assert run(["layers", str(tmp_path)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert len(err.splitlines()) <= 2
    assert "\x1b" not in err
    assert "\u202e" not in err


def test_a_header_over_the_limit_is_not_read(tmp_path):
    with (tmp_path / "model.safetensors").open("wb") as stream:
        stream.write(struct.pack("<Q", MAX_HEADER + 1))
        stream.truncate(MAX_HEADER * 3)  # sparse
    with pytest.raises(InspectorError, match="over the limit"):
        read_folder(tmp_path)


def sound(folder, name="model.safetensors", tensors=("w",)):
    header = {tensor: entry(4 * i, 4 * i + 4) for i, tensor in enumerate(tensors)}
    (folder / name).write_bytes(packed(header, bytes(4 * len(tensors))))


# Beside an index, for a whole model.safetensors would be loaded before it.
SHARD = "model-00001-of-00001.safetensors"
OUTSIDE = ["../x.safetensors", "/etc/passwd", "a/b.safetensors", "..", "x.bin", "a\\b.safetensors", "\x00.safetensors"]


@pytest.mark.parametrize("name", OUTSIDE)
def test_an_index_that_points_elsewhere_is_refused(name, tmp_path, capsys):
    sound(tmp_path, SHARD)
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"w": name}}))
    assert run(["layers", str(tmp_path)]) == 2
    assert "no safetensors file beside it" in capsys.readouterr().err


@pytest.mark.parametrize(
    "content", ["[]", "{}", '{"weight_map": []}', '{"weight_map": {"w": "gone.safetensors"}}', "{"]
)
def test_a_broken_index(content, tmp_path, capsys):
    sound(tmp_path, SHARD)
    (tmp_path / "model.safetensors.index.json").write_text(content)
    assert run(["layers", str(tmp_path)]) == 2
    assert len(capsys.readouterr().err.splitlines()) <= 2


def test_a_promise_the_files_do_not_keep_is_noted(tmp_path):
    sound(tmp_path, SHARD, tensors=("w", "extra"))
    index = {"weight_map": {"w": SHARD, "lost": SHARD}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    notes = " ".join(locate(str(tmp_path)).checkpoint.notes)
    assert "lost" in notes
    assert "extra" in notes


def test_two_checkpoints_in_one_folder_are_not_added_up(tmp_path, capsys):
    sound(tmp_path, "a.safetensors")
    sound(tmp_path, "b.safetensors")
    assert run(["layers", str(tmp_path)]) == 2
    assert "both in a.safetensors and in b.safetensors" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "model.gguf"])
def test_links_to_devices_pipes_and_themselves(name, tmp_path, capsys):
    (tmp_path / "device").mkdir()
    (tmp_path / "device" / name).symlink_to("/dev/zero")
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "pipe" / name)
    (tmp_path / "loop").mkdir()
    (tmp_path / "loop" / name).symlink_to(tmp_path / "loop" / name)
    for folder in ("device", "pipe", "loop"):
        assert run(["layers", str(tmp_path / folder)]) == 2
        assert len(capsys.readouterr().err.splitlines()) <= 2


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.ckpt", "model.pkl"])
def test_pickles_are_refused_with_the_reason_and_the_way_out(name, tmp_path, capsys):
    target = tmp_path / "ran"
    payload = b"cos\nsystem\n(S'touch " + str(target).encode() + b"'\ntR."
    (tmp_path / name).write_bytes(payload)
    for reference in (tmp_path, tmp_path / name):
        assert run(["layers", str(reference)]) == 2
        err = capsys.readouterr().err
        assert "run any code" in err
        assert "save_pretrained" in err
    assert not target.exists()


def test_remote_code_beside_a_config_is_not_run(tmp_path, llama_config, capsys):
    target = tmp_path / "ran"
    (tmp_path / "modeling_evil.py").write_text(f"open({str(target)!r}, 'w').write('x')\n")
    mapped = {"auto_map": {"AutoConfig": "modeling_evil.C", "AutoModelForCausalLM": "modeling_evil.M"}}
    (tmp_path / "config.json").write_text(json.dumps({**llama_config, **mapped}))
    assert run(["layers", str(tmp_path)]) == 0
    (tmp_path / "config.json").write_text(json.dumps({**llama_config, **mapped, "model_type": "evil"}))
    assert run(["layers", str(tmp_path)]) == 2
    assert not target.exists()


@given(st.binary(max_size=400), st.integers(0, 2**70))
def test_any_bytes_are_a_header_or_one_line(data, size):
    try:
        length = header_length(data, size, "f")
        parse_header(data[PREFIX : PREFIX + length], size, "f")
    except InspectorError as error:
        assert "\n" not in error.message  # noqa: PT017 -- refusing is as right as reading


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
_entry = st.fixed_dictionaries(
    {},
    optional={
        "dtype": st.sampled_from(["F32", "BF16", "U8", "F4"]) | _json,
        "shape": st.lists(st.integers(-2, 2**64), max_size=4) | _json,
        "data_offsets": st.lists(st.integers(-2, 2**64), min_size=2, max_size=2) | _json,
    },
)


@given(st.dictionaries(st.text(max_size=12), _entry | _json, max_size=5), st.integers(0, 10_000))
def test_any_structure_is_a_header_or_one_line(header, size):
    text = json.dumps(header).encode()
    try:
        tensors = parse_header(text, size, "f")
    except InspectorError as error:
        assert "\n" not in error.message  # noqa: PT017 -- refusing is as right as reading
    else:
        assert sum(tensor.nbytes for tensor in tensors) == size - PREFIX - len(text)
