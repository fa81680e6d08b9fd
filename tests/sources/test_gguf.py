"""GGUF files written by the gguf package itself: types, true bytes, and the config that transformers reads."""

import json

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter
from gguf.quants import quant_shape_to_byte_shape

from inspector.checkpoint.against_skeleton import compare_with_skeleton
from inspector.cli.main import run
from inspector.sources.resolve import locate

SHAPES = {
    "token_embd.weight": (512, 256), "output_norm.weight": (256,), "output.weight": (512, 256),
    **{f"blk.{i}.{name}.weight": shape for i in range(2) for name, shape in {
        "attn_norm": (256,), "attn_q": (256, 256), "attn_k": (128, 256), "attn_v": (128, 256),
        "attn_output": (256, 256), "ffn_norm": (256,), "ffn_gate": (512, 256), "ffn_up": (512, 256),
        "ffn_down": (256, 512)}.items()},
}  # fmt: skip
PARAMETERS = sum(int(np.prod(shape)) for shape in SHAPES.values())


def write(path, kind=GGMLQuantizationType.Q4_K, architecture="llama", shapes=SHAPES):
    """A file with every matrix in one type and every vector in float32; the data is zeros."""
    writer = GGUFWriter(path, architecture)
    writer.add_context_length(128)
    writer.add_block_count(2)
    writer.add_embedding_length(256)
    writer.add_feed_forward_length(512)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(64)
    writer.add_token_list([f"token{i}" for i in range(512)])
    for name, shape in shapes.items():
        if len(shape) == 1 or kind == GGMLQuantizationType.F32:
            writer.add_tensor(name, np.zeros(shape, dtype=np.float32))
        else:
            writer.add_tensor(name, np.zeros(quant_shape_to_byte_shape(shape, kind), dtype=np.uint8), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize(
    "kind", ["F32", "Q8_0", "Q6_K", "Q5_K", "Q4_K", "Q3_K", "Q2_K", "Q4_0", "IQ4_NL", "IQ4_XS", "IQ3_S", "MXFP4"]
)
def test_every_tensor_has_the_bytes_the_packages_own_reader_finds(tmp_path, kind):
    path = write(tmp_path / "model.gguf", GGMLQuantizationType[kind])
    ours = locate(str(path)).checkpoint
    theirs = {tensor.name: (tensor.n_bytes, tuple(map(int, tensor.shape[::-1]))) for tensor in GGUFReader(path).tensors}
    assert {tensor.name: (tensor.nbytes, tensor.shape) for tensor in ours.tensors} == theirs
    assert ours.file_bytes == path.stat().st_size


def test_the_skeleton_is_the_one_transformers_builds(tmp_path):
    source = locate(str(write(tmp_path / "model.gguf")))
    assert source.config["model_type"] == "llama"
    assert source.skeleton.num_parameters == PARAMETERS
    assert source.skeleton.facts.num_key_value_heads == 2
    report = compare_with_skeleton(source.checkpoint, source.skeleton)
    assert {dtype: number for dtype, number, _ in report.dtypes} == {"q4_k": 16, "float32": 5}
    assert 4.5 < report.bits_per_parameter < 4.7


def test_a_tied_head_is_seen(tmp_path):
    shapes = {name: shape for name, shape in SHAPES.items() if name != "output.weight"}
    source = locate(str(write(tmp_path / "model.gguf", shapes=shapes)))
    assert source.skeleton.num_parameters == PARAMETERS - 512 * 256


def test_an_architecture_that_transformers_does_not_map_is_read_by_its_names(tmp_path, capsys):
    path = write(tmp_path / "model.gguf", architecture="deepseek2")
    source = locate(str(path))
    assert source.config is None
    assert source.skeleton.num_parameters == PARAMETERS
    assert run(["memory", str(path), "--bits", "4"]) == 0


def test_commands_work_on_a_gguf_file_and_on_its_folder(tmp_path, capsys):
    path = write(tmp_path / "model.gguf")
    for reference in (path, tmp_path):
        assert run(["checkpoint", str(reference)]) == 0
        assert "q4_k" in capsys.readouterr().out


def test_splits_are_read_together_and_a_missing_one_is_named(tmp_path, capsys):
    half = len(SHAPES) // 2
    items = list(SHAPES.items())
    first = write(tmp_path / "m-00001-of-00002.gguf", shapes=dict(items[:half]))
    second = write(tmp_path / "m-00002-of-00002.gguf", shapes=dict(items[half:]))
    assert {tensor.name for tensor in locate(str(first)).checkpoint.tensors} == set(SHAPES)
    second.unlink()
    assert run(["checkpoint", str(first)]) == 2
    assert "00002-of-00002" in capsys.readouterr().err


@pytest.mark.parametrize("split", [False, True])
def test_header_tensors_and_padding_are_the_whole_file(tmp_path, split, capsys):
    """Each held against where the package's own reader finds its fields and the data of its tensors."""
    shapes = {**SHAPES, "blk.1.odd_norm.weight": (3,), "blk.1.odder_norm.weight": (5,)}
    items = list(shapes.items())
    if split:
        paths = [
            write(tmp_path / f"m-0000{i + 1}-of-00002.gguf", shapes=dict(items[9 * i : 9 * i + 9 if i == 0 else None]))
            for i in range(2)
        ]
    else:
        paths = [write(tmp_path / "m.gguf", shapes=shapes)]
    expected = {"metadata_bytes": 0, "tokenizer_bytes": 0, "tensor_info_bytes": 0, "padding_bytes": 0}
    for path in paths:
        reader = GGUFReader(path)
        infos = sum(part.nbytes for tensor in reader.tensors for part in tensor.field.parts)
        first = min(tensor.field.offset for tensor in reader.tensors)
        tokenizer = [field for key, field in reader.fields.items() if key.startswith("tokenizer.")]
        words = sum(part.nbytes for field in tokenizer for part in field.parts)
        data = sorted((int(tensor.data_offset), int(tensor.n_bytes)) for tensor in reader.tensors)
        ends = [first + infos, *(offset + size for offset, size in data)]
        starts = [*(offset for offset, _ in data), path.stat().st_size]
        expected["tokenizer_bytes"] += words
        expected["metadata_bytes"] += first - words
        expected["tensor_info_bytes"] += infos
        expected["padding_bytes"] += sum(start - end for start, end in zip(starts, ends, strict=True))
    assert run(["checkpoint", str(paths[0]), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["overhead"] == expected
    assert found["overhead"]["padding_bytes"] > 0
    assert sum(expected.values()) + found["tensor_bytes"] == found["file_bytes"]
    assert found["file_bytes"] == sum(path.stat().st_size for path in paths)
    assert run(["checkpoint", str(paths[0])]) == 0
    assert f"{expected['tokenizer_bytes']:,}" in capsys.readouterr().out


CONFIG = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 256, "intermediate_size": 512,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 512, "dtype": "bfloat16",
    "tie_word_embeddings": False, "max_position_embeddings": 128,
}  # fmt: skip


def test_diff_sets_a_file_beside_the_model_it_was_made_of(tmp_path, capsys):
    """Without ``--stored`` the same model; with it, every tensor by the model's name, its type alone another."""
    path, folder = write(tmp_path / "model.gguf"), tmp_path / "config"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    assert run(["diff", str(path), str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tensors"] == []
    assert run(["diff", str(path), str(folder), "--stored", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["num_elements_before"] == found["num_elements_after"] == PARAMETERS
    assert sum(row["num_tensors"] for row in found["tensors"]) == len(SHAPES)
    rows = {row["name"]: (row["before"], row["after"]) for row in found["tensors"]}
    assert rows["model.layers.*.mlp.down_proj.weight"] == ("[256, 512] q4_k", "[256, 512] bfloat16")
    assert rows["model.norm.weight"] == ("[256] float32", "[256] bfloat16")
    assert run(["diff", str(path), str(path), "--stored"]) == 0
    assert run(["layers", str(path)]) == run(["memory", str(path)]) == 0


def test_diff_keeps_the_files_names_where_no_others_are_known(tmp_path, capsys):
    path = write(tmp_path / "model.gguf", architecture="deepseek2")
    assert run(["diff", str(path), str(write(tmp_path / "other.gguf")), "--stored", "--json"]) == 0
    assert "blk.*.attn_q.weight" in {row["name"] for row in json.loads(capsys.readouterr().out)["tensors"]}


def test_memory_shows_what_the_file_holds(tmp_path, capsys):
    path = write(tmp_path / "model.gguf")
    assert run(["memory", str(path), "--scheme", "stored", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)["schemes"][0]
    assert report["tensor_bytes"] == locate(str(path)).checkpoint.tensor_bytes
    assert report["num_parameters"] == PARAMETERS
