"""sentence-transformers models: tensor for tensor those of the package, without the package."""

import json

import pytest

import inspector
from inspector.checkpoint.against_skeleton import compare_with_skeleton
from inspector.cli.main import run
from inspector.errors import InspectorError
from inspector.sources.resolve import locate, resolve
from tests.sources.extras import have

FOLDERS = {"2": "2_Dense", "3": "3_Dense", "4": "4_LayerNorm"}


@pytest.fixture
def real(asked_of_extras):
    """Models saved by the package, each beside the names and shapes of its parameters."""
    have("sentence_transformers")
    return asked_of_extras


def in_our_names(name):
    first, _, rest = name.partition(".")
    return rest.removeprefix("model.") if first == "0" else f"{FOLDERS[first]}.{rest}"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bert", "t5", "splade"])
def test_every_parameter_is_the_packages(real, name):
    wanted = {in_our_names(key): tuple(shape) for key, shape in json.loads((real / f"{name}.json").read_text()).items()}
    skeleton = resolve(str(real / name))
    assert {tensor.name: tensor.shape for tensor in skeleton.parameters} == wanted


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bert", "t5", "splade"])
def test_every_stored_tensor_has_its_place(real, name):
    source = locate(str(real / name))
    report = compare_with_skeleton(source.checkpoint, source.skeleton)
    assert report.compared
    assert (report.missing, report.unexpected, report.misshapen) == ((), (), ())


BERT = {
    "model_type": "bert", "architectures": ["BertForMaskedLM"], "vocab_size": 64, "hidden_size": 32, "dtype": "float32",
    "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64, "max_position_embeddings": 16,
}  # fmt: skip
PACKAGE = "sentence_transformers.models"


@pytest.fixture
def folder(tmp_path):
    return written(tmp_path / "st", ("Transformer", ""), ("Pooling", "1_Pooling"), ("Dense", "2_Dense"))


def written(path, *modules):
    path.mkdir()
    (path / "config.json").write_text(json.dumps(BERT))
    lines = [{"idx": i, "name": str(i), "path": at, "type": f"{PACKAGE}.{cls}"} for i, (cls, at) in enumerate(modules)]
    (path / "modules.json").write_text(json.dumps(lines))
    for cls, at in modules:
        if at:
            (path / at).mkdir(exist_ok=True)
            sizes = {"in_features": 32, "out_features": 8, "bias": True} if cls == "Dense" else {"dimension": 32}
            (path / at / "config.json").write_text(json.dumps(sizes))
    return path


def test_without_the_package_and_without_weights(folder):
    model = inspector.load(str(folder))
    assert model.skeleton.architecture == "BertModel"
    dense = {tensor.name: tensor.shape for tensor in model.skeleton.parameters if tensor.name.startswith("2_Dense")}
    assert dense == {"2_Dense.linear.weight": (8, 32), "2_Dense.linear.bias": (8,)}
    assert "Transformer, Pooling, Dense" in model.skeleton.notes[0]


def test_what_is_behind_is_neither_quantized_nor_adapted(folder):
    model = inspector.load(str(folder))
    groups = {group.name: group for group in model.memory(scheme="nf4", by="module").groups}
    assert groups["encoder.layer.0.output.dense"].quantized_parameters
    assert not groups["2_Dense.linear"].quantized_parameters
    alone = inspector.load(str(folder / "config.json"))
    assert alone.num_parameters > 0
    assert {row.target_set: row.modules for row in model.lora(r=8).rows}["attention"] == 8


@pytest.mark.parametrize("command", ["layers", "memory", "lora", "compare"])
def test_lenses(folder, command, capsys):
    assert run([command, str(folder)]) == 0, capsys.readouterr().err


@pytest.mark.parametrize("command", [["measure"], ["simulate", "finetune"], ["fit", "--gpu", "T4"]])
def test_what_runs_a_model_says_why_not(folder, command, capsys):
    assert run([*command, str(folder)]) == 2
    err = capsys.readouterr().err
    assert "several parts" in err
    assert "config.json" in err


def test_the_models_own_modules_are_not_run(tmp_path, capsys):
    path = written(tmp_path / "own", ("Transformer", ""), ("custom.Evil", "1_Evil"))
    text = (path / "modules.json").read_text().replace(f"{PACKAGE}.custom", "custom_st")
    (path / "modules.json").write_text(text)
    assert any("Evil: the model's own code, which was not run" in note for note in resolve(str(path)).notes)


@pytest.mark.parametrize(
    "text",
    [
        "{}", "[]", "[1]", "not json",
        '[{"type": "a.Dense", "path": "../up"}]', '[{"type": "a.Dense", "path": "/etc"}]',
        '[{"type": 3, "path": null}]', '[{"type": "a.Transformer", "path": "0_T"}]', "[" * 5000,
        '[{"type": "a.Transformer", "path": ""}, {"type": "a.Dense", "path": "absent"}]',
        '[{"type": "a.Dense", "path": "x\\u0000y"}]', '[{"type": "a.Dense", "path": ["a"]}]',
    ],
)  # fmt: skip
def test_a_broken_list_is_one_line(folder, text, capsys):
    (folder / "modules.json").write_text(text)
    assert run(["layers", str(folder)]) == 2
    err = capsys.readouterr().err
    assert "Traceback" not in err
    assert len(err.splitlines()) <= 2


@pytest.mark.parametrize("size", [0, -1, 10**12, True, "8", None, [1]])
def test_a_dense_of_no_size_is_one_line(folder, size):
    (folder / "2_Dense" / "config.json").write_text(json.dumps({"in_features": 32, "out_features": size}))
    with pytest.raises(InspectorError, match="out_features"):
        resolve(str(folder))
