"""GGUF files in the forms that few programs read: the other byte order, older versions, arrays in arrays."""

import struct
from pathlib import Path

import pytest
from gguf import GGUFEndian, GGUFReader

from inspector.checkpoint.against_skeleton import compare_with_skeleton
from inspector.cli.main import run
from inspector.render.checkpoint import payload
from inspector.sources.gguf_stream import MAX_DEPTH
from inspector.sources.resolve import locate
from tests.sources.gguf_files import LLAMA, SIZES, made


def told(path):
    source = locate(str(path))
    return payload(compare_with_skeleton(source.checkpoint, source.skeleton))


def version_1(path):
    """The tensors of a file, and what its header says in whole numbers, as the first version wrote them: in 32 bits."""
    read = GGUFReader(path)
    text = lambda word: struct.pack("<I", len(word)) + word.encode()  # noqa: E731
    array = lambda name, kind, number, items: text(name) + struct.pack("<III", 9, kind, number) + items  # noqa: E731
    sizes = [
        (key, field.parts[-1][0]) for key, field in read.fields.items() if key.startswith("llama.") and "eps" not in key
    ]
    pairs = [text("general.architecture") + struct.pack("<I", 8) + text("llama")]
    pairs += [text(key) + struct.pack("<II", 4, value) for key, value in sizes]
    pairs += [array("tokenizer.ggml.tokens", 8, 320, b"".join(text(f"t{number}") for number in range(320)))]
    entries, data = [], b""
    for tensor in read.tensors:
        entries.append(text(tensor.name) + struct.pack(f"<I{len(tensor.shape)}I", len(tensor.shape), *tensor.shape))
        entries[-1] += struct.pack("<IQ", tensor.tensor_type, len(data))
        data += bytes(tensor.n_bytes + -tensor.n_bytes % 32)
    head = b"GGUF" + struct.pack("<III", 1, len(entries), len(pairs)) + b"".join(pairs + entries)
    return head + bytes(-len(head) % 32) + data


FORMS = {
    "big-endian": (Path.exists, "big-endian"),
    "version 1": (lambda path: path.write_bytes(version_1(path)), "version 1"),
    "version 2": (lambda path: path.write_bytes(b"GGUF\2" + path.read_bytes()[5:]), ""),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_form_is_read_like_any_other(form, tmp_path, capsys):
    change, noted = FORMS[form]
    usual = told(made(tmp_path / "usual.gguf", "llama", LLAMA, **SIZES))
    path = Path(made(tmp_path / "m.gguf", "llama", LLAMA, **SIZES, endian=GGUFEndian[form[:3].upper()]
                     if form == "big-endian" else GGUFEndian.LITTLE))  # fmt: skip
    change(path)
    found = told(path)
    for key in ("num_parameters", "tensor_bytes", "dtypes", "missing", "unexpected", "wrong_shape", "num_tensors"):
        assert found[key] == usual[key]
    assert found["overhead"]["tokenizer_bytes"] > 320 * 4
    assert found["file_bytes"] == path.stat().st_size
    assert any(noted in note for note in found["notes"]) or not noted
    # The model that its header announces is its tensors', as in the usual form.
    assert locate(str(path)).skeleton.architecture == "LlamaForCausalLM"
    assert run(["memory", str(path), "--scheme", "stored"]) == run(["checkpoint", str(path)]) == 0
    assert (noted in capsys.readouterr().out) or not noted


def test_arrays_in_arrays_are_walked(tmp_path):
    path = made(
        tmp_path / "m.gguf", "llama", LLAMA, **SIZES, general__nested=[[1, 2], [3]], general__words=[["a"], ["b", "c"]]
    )
    found = locate(path).checkpoint
    assert found.metadata["general.nested"].length == found.metadata["general.words"].length == 2
    assert found.metadata["llama.block_count"] == 2  # written before; and behind them the tensors:
    assert found.by_name.keys() == LLAMA.keys()


def nested(depth, arrays=1):
    array = struct.pack("<IQ", 9, arrays) * (depth - 1) + struct.pack("<IQ", 0, 0)
    return b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1) + b"k" + struct.pack("<I", 9) + array


@pytest.mark.parametrize(
    ("data", "said"),
    [(nested(MAX_DEPTH + 2), "nested over 8 deep"), (nested(3, 2**40), "claims 1,099,511,627,776 arrays"),
     (nested(900_000), "nested over 8 deep"),
     (b"GGUF" + struct.pack(">IQQ", 3, 2**40, 0), "claims 1,099,511,627,776 tensors"),
     (b"GGUF" + struct.pack("<III", 1, 0, 2**31), "2,147,483,648 metadata entries")],
)  # fmt: skip
def test_what_cannot_be_is_one_line(data, said, tmp_path, capsys):
    (tmp_path / "m.gguf").write_bytes(data)
    assert run(["checkpoint", str(tmp_path / "m.gguf")]) == 2
    assert said in capsys.readouterr().err
