"""Everything hostile through the command line: seconds of CPU time each, 1 GB resident, in a process of its own."""

import dataclasses
import json
import struct
import time

import pytest

from inspector.checkpoint import MAX_TENSORS
from inspector.sources.safetensors import MAX_HEADER, MAX_METADATA
from inspector.sources.unknown_architecture import MAX_BARE
from tests.hostile.test_hostile_gguf import LIES as GGUF_LIES
from tests.hostile.test_hostile_gguf import header, pair, tensor
from tests.hostile.test_hostile_gguf import text as gguf_text
from tests.hostile.test_hostile_safetensors import LIES, packed
from tests.sources.conftest import LLAMA


def listed(count, name="t{}", shape="[1,1]"):
    """A sound header of so many tensors of a byte each, and the data they claim."""
    row = '"' + name + '":{{"dtype":"U8","shape":' + shape + ',"data_offsets":[{},{}]}}'
    return ("{" + ",".join(row.format(i, i, i + 1) for i in range(count)) + "}").encode(), count


def sparse(path, text, data):
    """A safetensors file whose data takes no room on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        stream.write(struct.pack("<Q", len(text)) + text)
        stream.truncate(8 + len(text) + data)
    return path


def test_every_lie_in_a_file_is_refused(write, limited_each):
    lies = [write(f"{number}.safetensors", content) for number, (content, _) in enumerate(LIES.values())]
    lies += [write(f"{number}.gguf", content) for number, (content, _) in enumerate(GGUF_LIES.values())]
    answers = limited_each([("layers", path) for path in lies] + [("checkpoint", path) for path in lies])
    assert {code for code, _, _ in answers} == {2}


def test_as_many_tensors_as_may_be_in_a_header_of_100_mb(tmp_path, limited):
    # Room to read over rather than long names: each name is renamed as transformers would, a search a rule.
    text, data = listed(MAX_TENSORS, name="x" * 24 + "{}.weight", shape=f"[1,1]{336 * ' '}")
    assert 0.9 * MAX_HEADER < len(text) <= MAX_HEADER
    sparse(tmp_path / "model.safetensors", text, data)
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    code, out, _ = limited("checkpoint", tmp_path)
    assert code == 0
    assert f"{MAX_TENSORS:,}" in out


@pytest.mark.parametrize("command", ["layers --json", "memory --json", "diff"])
@pytest.mark.slow
def test_as_many_tensors_as_may_be_read_by_name(tmp_path, limited, command):
    path = sparse(tmp_path / "model.safetensors", *listed(MAX_BARE, name="a{}." + "b." * 8 + "w"))
    name, *options = command.split()
    code, _, err = limited(name, path, *([path] if name == "diff" else []), *options)
    assert code == 0, err


def test_a_checkpoint_that_lacks_all_but_one_of_many_tensors():
    """Each missing name is looked up, not searched for: four times as many take four times as long, not sixteen."""
    from inspector.checkpoint import Checkpoint, FileTensor
    from inspector.checkpoint.against_skeleton import compare_with_skeleton
    from inspector.skeleton import Tensor
    from inspector.sources.bundled import load_bundled

    whole = load_bundled("HuggingFaceTB/SmolLM2-135M")  # its head is tied
    many = tuple(Tensor(f"model.layers.{i}.w", (1,), "float32", "parameter", True) for i in range(40_000))
    skeleton = dataclasses.replace(whole, tensors=whole.tensors + many)
    head = next(tensor for tensor in whole.tensors if tensor.tied_to)
    stored = FileTensor(head.name, head.shape, "bfloat16", 2 * head.numel, "model.safetensors")
    started = time.process_time()
    report = compare_with_skeleton(
        Checkpoint("x", "safetensors", (stored,), ("model.safetensors",), stored.nbytes), skeleton
    )
    assert time.process_time() - started < 5
    assert head.tied_to not in {finding.name for finding in report.missing}
    assert len(report.missing) > len(many)


HEAVY = {
    "a million tensors": (lambda: listed(1_000_000)[0], "tensors, the limit"),
    "metadata of 90 MB": (lambda: b'{"__metadata__":{' + b'"":"",' * 15_000_000 + b'"":""}}', "__metadata__"),
    "one string": (lambda: b'{"' + b"a" * 99_000_000, "not JSON"),
    "one string of escapes": (lambda: b'{"' + b"\\" * 99_000_000, "not JSON"),
    "metadata of escapes": (lambda: b'{"__metadata__":{"' + b"\\" * 99_000_000, "__metadata__"),
    "lists": (lambda: b'{"a":[' + b"[]," * 33_000_000 + b"[]]}", "not JSON"),
    "numbers": (lambda: b'{"a":{"shape":[' + b"99999," * 16_000_000 + b"1]}}", "not JSON"),
}


def test_headers_of_up_to_100_mb_are_refused_soon_and_small(tmp_path, limited_each):
    paths = []
    for name, (make, _) in HEAVY.items():
        text = make()
        assert len(text) <= MAX_HEADER, name
        paths.append(sparse(tmp_path / name / "model.safetensors", text, 0))
    answers = limited_each([("layers", path) for path in paths])
    for (name, (_, why)), (code, _, err) in zip(HEAVY.items(), answers, strict=True):
        assert code == 2, name
        assert why in err, (name, err)


def test_metadata_of_20_mb_is_read_over(tmp_path, limited_each):
    text = b'{"__metadata__":{' + b'"":"",' * (MAX_METADATA // 6 - 100) + b'"":""},' + listed(1)[0][1:]
    path = sparse(tmp_path / "model.safetensors", text, 1)
    assert limited_each([("checkpoint", path, "--json")])[0][0] == 0


def test_many_files_are_bounded_together(tmp_path, limited_each):
    """Each alone would be read: sparse files of headers of spaces, which take no room on the disk either."""
    for number in range(40):
        sparse(tmp_path / f"{number}.safetensors", b"{" + b" " * 10_000_000 + b"}", 0)
    ((code, _, err),) = limited_each([("layers", tmp_path)])
    assert code == 2
    assert "bytes of header together" in err


JUNK = {
    "lists": lambda: b"[" + b"[]," * 6_000_000 + b"[]]",
    "dictionaries": lambda: b'{"a":[' + b'{"a":0},' * 2_400_000 + b"0]}",
    "strings": lambda: b'{"model_type":"llama","a":[' + b'"ab",' * 3_800_000 + b"0]}",
    "keys": lambda: (
        b'{"model_type":"llama",' + b",".join(b'"%d":9999999' % number for number in range(1_000_000)) + b"}"
    ),
    "deep": lambda: b'{"a":' * 3_000_000,
    "deep lists": lambda: b'{"a":' + b"[" * 9_000_000,
    "digits": lambda: b'{"model_type":"llama","hidden_size":' + b"9" * 15_000_000 + b"}",
    "over the limit": lambda: b'{"a":"' + b"x" * 20_000_000 + b'"}',
}


def test_json_of_20_mb(write, limited_each):
    """As a config, as an index, as an adapter's config."""
    commands = []
    for number, make in enumerate(JUNK.values()):
        junk = make()
        commands.append(("layers", write(f"{number}/model/config.json", junk)))
        index = write(f"{number}/index/model.safetensors.index.json", junk)
        # By another name than the one that goes before an index.
        write(f"{number}/index/a.safetensors", packed(listed(1)[0], b"x"))
        commands.append(("layers", index.parent))
        adapter = write(f"{number}/adapter/adapter_config.json", junk)
        write(f"{number}/adapter/adapter_model.safetensors", packed(listed(1)[0], b"x"))
        commands.append(("adapter", adapter.parent))
    assert {code for code, _, _ in limited_each(commands)} == {2}


def test_an_index_of_as_many_tensors_as_may_be(write, limited):
    names = {f"model.layers.{number}.mlp.experts.{number}.down_proj.weight_packed": "a" for number in range(200_000)}
    index = write("model.safetensors.index.json", json.dumps({"weight_map": dict.fromkeys(names, "a.safetensors")}))
    write("a.safetensors", packed(listed(1)[0], b"x"))
    code, out, _ = limited("checkpoint", index.parent)
    assert code == 0
    assert "promises 200,000 tensors" in out


def test_a_million_strings_in_gguf(tmp_path, limited):
    path = tmp_path / "model.gguf"
    count = 2_900_000
    strings = pair("tokenizer.ggml.tokens", 9, struct.pack("<IQ", 8, count) + gguf_text("ab") * count)
    path.write_bytes(header(tensors=1, pairs=1) + strings + tensor("w.weight", (32, 4)) + bytes(1000))
    assert limited("checkpoint", path, "--json")[0] == 0


def test_a_config_of_a_billion_layers(write, limited):
    assert limited("layers", write("config.json", json.dumps({**LLAMA, "num_hidden_layers": 10**9})))[0] == 2


def test_nothing_is_written_or_asked_of_the_network(tmp_path, write, limited_each, monkeypatch):
    """Names that lead out of the folder, in every place a file can name one; no proxy answers, no home is written."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # a request would end in its error
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    out = "../../outside"
    evil = {**LLAMA, "_name_or_path": "acme/evil", "name_or_path": out, "auto_map": {"AutoConfig": "acme/evil--m.C"}}
    write("m/config.json", json.dumps({**evil, "architectures": [out, "acme/evil--m.M"]}))
    write("m/generation_config.json", "{}")
    write("n/model.safetensors", packed({f"{out}.weight": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}, b"x"))
    before = sorted(str(path) for path in tmp_path.rglob("*"))
    monkeypatch.chdir(tmp_path / "m")
    answers = limited_each([("layers", tmp_path / "m"), ("memory", tmp_path / "m"), ("layers", tmp_path / "n")])
    assert [code for code, _, _ in answers] == [0, 0, 0]
    assert sorted(str(path) for path in tmp_path.rglob("*")) == before
