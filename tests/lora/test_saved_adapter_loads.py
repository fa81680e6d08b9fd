"""Would PEFT load it? Our answer, from headers alone, is the real one: `PeftModel.from_pretrained` on a real base."""

import json
import shutil
import warnings

import peft
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification

from inspector.cli.main import run
from inspector.errors import InspectorError
from inspector.lenses.adapter_against_config import against_config
from inspector.lenses.saved_adapter import read_adapter
from inspector.lora.saved_config import unfit
from inspector.skeleton.patterns import endless
from inspector.sources.adapter_files import adapter_files

pytestmark = pytest.mark.filterwarnings("ignore")

SIZES = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 100,
}  # fmt: skip
ADAPTERS = {
    "lora": {"target_modules": ["q_proj", "v_proj"]},
    "copies": {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens", "lm_head"]},
    "embedding": {"target_modules": ["embed_tokens", "q_proj"]},
    "head": {"target_modules": ["lm_head", "q_proj"]},
    "dora": {"target_modules": ["q_proj"], "use_dora": True},
    "ranks": {"target_modules": ["q_proj", "down_proj"], "rank_pattern": {"down_proj": 2}},
    "tokens": {"target_modules": ["q_proj"], "trainable_token_indices": [1, 5]},
    "all-linear": {"target_modules": "all-linear"},
    "expression": {"target_modules": r".*layers\.0\..*(q|k)_proj"},
    "biases": {"target_modules": ["q_proj"], "bias": "all"},
    "layer": {"target_modules": ["q_proj"], "layers_to_transform": [1]},
}
FAMILY = {"tied": True, "untied": False}


def base_config(*, tied, dtype="float32"):
    return LlamaConfig(**SIZES, tie_word_embeddings=tied, dtype=dtype, architectures=["LlamaForCausalLM"])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Bases, and every adapter as PEFT saved it: of a base, and of one whose vocabulary had grown."""
    root = tmp_path_factory.mktemp("adapters")
    for base, tied in FAMILY.items():
        config = base_config(tied=tied)
        (root / base).mkdir()
        (root / base / "config.json").write_text(json.dumps(config.to_dict()))
        for name, fields in ADAPTERS.items():
            for rows in (100, 105):
                torch.manual_seed(0)
                # A config of its own: resizing writes into it.
                model = LlamaForCausalLM(base_config(tied=tied))
                if rows != 100:
                    model.resize_token_embeddings(rows, mean_resizing=False)
                model.name_or_path = model.config._name_or_path = str(root / base)
                wrapped = peft.get_peft_model(model, peft.LoraConfig(r=4, task_type="CAUSAL_LM", **fields))
                wrapped.save_pretrained(root / base / f"{name}-{rows}")
    return root


def real(base, folder, rows=None, cls=LlamaForCausalLM):
    """What PEFT does on the CPU: its answer, its warnings, the names it misses, and the model it leaves."""
    config = json.loads((base / "config.json").read_text())
    model = cls(LlamaConfig.from_dict(config)).to(getattr(torch, config["dtype"]))
    if rows:
        model.resize_token_embeddings(rows, mean_resizing=False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            loaded = peft.PeftModel.from_pretrained(model, folder, torch_device="cpu")
        except Exception as error:  # noqa: BLE001 -- whatever PEFT ends with
            return "fails", f"{type(error).__name__}: {error}", None
    own = [each for each in caught if "/peft/" in each.filename and not issubclass(each.category, DeprecationWarning)]
    own = [str(each.message) for each in own if not issubclass(each.category, FutureWarning)]
    return ("warns" if own else "loads"), " | ".join(own), loaded


def change_tensors(folder, change):
    tensors = change(load_file(folder / "adapter_model.safetensors"))
    save_file({name: each.contiguous() for name, each in tensors.items()}, folder / "adapter_model.safetensors")


def change_config(folder, **fields):
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def without(part):
    return lambda tensors: {name: each for name, each in tensors.items() if part not in name}


def as_dtype(part, dtype):
    return lambda tensors: {name: each.to(dtype) if part in name else each for name, each in tensors.items()}


def emptied(part):
    return lambda tensors: {name: torch.empty(0) if part in name else each for name, each in tensors.items()}


def wider(tensors):
    return {
        name: torch.zeros(8, *each.shape[1:]) if "lora_A" in name else
        torch.zeros(each.shape[0], 8) if "lora_B" in name else each
        for name, each in tensors.items()
    }  # fmt: skip


FAULTS = {
    "nothing": lambda _: None,
    "no B": lambda folder: change_tensors(folder, without("layers.0.self_attn.q_proj.lora_B")),
    "no A": lambda folder: change_tensors(folder, without("lora_A")),
    "no copies": lambda folder: change_tensors(folder, without("lm_head")),
    "no embedding": lambda folder: change_tensors(folder, without("embed_tokens")),
    "no magnitudes": lambda folder: change_tensors(folder, without("magnitude")),
    "empty": lambda folder: change_tensors(folder, emptied("lora_")),
    "empty copies": lambda folder: change_tensors(folder, emptied("lm_head")),
    "another rank": lambda folder: change_tensors(folder, wider),
    "rank of the config": lambda folder: change_config(folder, r=2),
    "rank pattern": lambda folder: change_config(folder, rank_pattern={"q_proj": 3, "^v_proj": 9}),
    "more targets": lambda folder: change_config(folder, target_modules=["q_proj", "v_proj", "o_proj", "down_proj"]),
    "fewer targets": lambda folder: change_config(folder, target_modules=["q_proj"]),
    "no such target": lambda folder: change_config(folder, target_modules=["query_key_value"]),
    "a newer field": lambda folder: change_config(folder, use_warp=True, peft_version="0.99.0"),
    "a newer method": lambda folder: change_config(folder, peft_type="WARP"),
    "no method": lambda folder: change_config(folder, peft_type=None),
    "bad task": lambda folder: change_config(folder, task_type="CAUSAL"),
    "half": lambda folder: change_tensors(folder, as_dtype("", torch.float16)),
    "wide copies": lambda folder: change_tensors(folder, as_dtype("weight", torch.float64)),
    "renamed": lambda folder: change_tensors(
        folder, lambda tensors: {name.replace("base_model.model.", ""): each for name, each in tensors.items()}
    ),
    "more tensors": lambda folder: change_tensors(
        folder, lambda tensors: tensors | {"base_model.model.x": torch.ones(3)}
    ),
    "a base weight": lambda folder: change_tensors(
        folder, lambda tensors: tensors | {"base_model.model.model.norm.weight": torch.ones(31)}
    ),
    "a copy asked for": lambda folder: change_config(folder, modules_to_save=["norm"]),
    "a copy of nothing": lambda folder: change_config(folder, modules_to_save=["nothing"]),
    "dora asked for": lambda folder: change_config(folder, use_dora=True),
    "excluded": lambda folder: change_config(folder, exclude_modules=["nowhere"]),
    "layers": lambda folder: change_config(folder, layers_to_transform=[0]),
    "unmatched alpha": lambda folder: change_config(folder, alpha_pattern={"proj": 16}),
}


def compare(made, base, adapter, rows, faults, folder):
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(made / base / f"{adapter}-{rows}", folder)
    for fault in faults:
        FAULTS[fault](folder)
    ours = read_adapter(folder)
    answer, said, loaded = real(made / base, folder)
    assert ours.base.answer == answer, (said, ours.base, ours.findings)
    # What its own config tells without a base is true on this one.
    alone = {each.level for each in against_config(adapter_files(folder))}
    assert "error" not in alone or answer == "fails"
    assert "warning" not in alone or answer != "loads" or "a copy of nothing" in faults
    if answer == "fails":
        first = "PEFT stops with size mismatch" if "size mismatch" in said else said.partition(":")[0]
        assert first in next(each.what for each in ours.findings if each.level == "error")
    else:
        levels = [each for each in ours.findings if each.level == "warning"]
        missing = sum(each.tensors for each in levels)
        assert missing == (said.count("'base_model.model.") if "missing adapter keys" in said else 0)
        merged = loaded.merge_and_unload()
        assert ours.base.merged.parameters == sum(each.numel() for each in merged.parameters())
        ends = [merged.get_input_embeddings().weight, merged.get_output_embeddings().weight]
        assert ours.base.merged.tied == (ends[0] is ends[1])
    if ours.base.rows and answer == "fails" and ours.base.merged:
        after, _, grown = real(made / base, folder, ours.base.rows)
        assert after != "fails"
        merged = grown.merge_and_unload()
        assert ours.base.merged.parameters == sum(each.numel() for each in merged.parameters())
    return ours


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_answered_as_peft_answers_it(fault, made, tmp_path):
    for adapter in ("copies", "dora"):
        compare(made, "untied", adapter, 100, [fault], tmp_path / "adapter")


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_every_adapter_is_answered_as_peft_answers_it(adapter, made, tmp_path):
    for base in FAMILY:
        for rows in (100, 105):
            compare(made, base, adapter, rows, [], tmp_path / "adapter")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(
    base=st.sampled_from(sorted(FAMILY)),
    adapter=st.sampled_from(sorted(ADAPTERS)),
    rows=st.sampled_from([100, 105]),
    faults=st.lists(st.sampled_from(sorted(FAULTS)), min_size=2, max_size=4, unique=True),
)
def test_mixtures_are_answered_as_peft_answers_them(base, adapter, rows, faults, made, tmp_path):
    compare(made, base, adapter, rows, faults, tmp_path / "adapter")


def test_a_classifier_is_loaded_as_one(made, tmp_path):
    """On a causal model's base, as ``AutoModelForSequenceClassification`` reads it; its head has the file's rows."""
    config = LlamaConfig.from_dict(json.loads((made / "untied" / "config.json").read_text()))
    config.num_labels = 3
    model = LlamaForSequenceClassification(config)
    model.name_or_path = model.config._name_or_path = str(made / "untied")
    peft.get_peft_model(model, peft.LoraConfig(r=4, target_modules=["q_proj"], task_type="SEQ_CLS")).save_pretrained(
        tmp_path
    )
    ours = read_adapter(tmp_path)
    assert (ours.base.model, ours.base.answer) == ("LlamaForSequenceClassification", "loads"), ours.findings
    assert ours.trained_parameters == ours.parameters  # the head is trained whole
    change_tensors(tmp_path, without("score"))
    assert read_adapter(tmp_path).base.answer == "fails"


@pytest.mark.parametrize(
    ("adapter", "stored", "trained"), [("embedding", 4420, 1060), ("lora", 7616, 896), ("copies", 20672, 7232)]
)
def test_a_vocabulary_that_grew_is_said_with_what_helps(adapter, stored, trained, made, tmp_path, monkeypatch, capsys):
    shutil.copytree(made / "untied" / f"{adapter}-105", tmp_path / "resized")
    (tmp_path / "tiny-base").mkdir()
    shutil.copy(made / "untied" / "config.json", tmp_path / "tiny-base")
    change_config(tmp_path / "resized", base_model_name_or_path="./tiny-base")
    monkeypatch.chdir(tmp_path)
    assert run(["adapter", "./resized", "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert (said["num_parameters"], said["num_trained_parameters"]) == (stored, trained)
    assert said["base"]["answer"] == "fails"
    assert said["base"]["resize_vocab"] == 105
    # Both tables of an untied base grow by five rows of 32.
    assert said["base"]["num_parameters_merged"] == said["base"]["num_parameters"] + 2 * 5 * 32
    (error,) = [each for each in said["findings"] if each["level"] == "error"]
    assert "105" in error["what"]
    assert "100" in error["what"]
    assert error["todo"] == "model.resize_token_embeddings(105) on the base first: PEFT then loads it"
    assert run(["adapter", "./resized"]) == 1
    assert f"{trained:,} of the {stored:,} stored numbers were trained" in capsys.readouterr().out


def test_a_copied_embedding_unties_the_merged_model(made, tmp_path, capsys):
    shutil.copytree(made / "tied" / "copies-100", tmp_path / "copies")
    assert run(["adapter", str(tmp_path / "copies"), "--base", str(made / "tied")]) == 0
    page = " ".join(capsys.readouterr().out.split())
    assert "3,200 more than tied has; embedding and head are no longer tied" in page


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("nothing", None),
        ("no B", "missing adapter keys: model.layers.N.self_attn.q_proj.lora_B (they stay zero"),
        ("no A", "(they stay random"),
        ("empty", "shards of ZeRO-3 or FSDP"),
        ("another rank", "have rank 8, the config asks for 4"),
        ("rank of the config", "have rank 4, the config asks for 2"),
        ("more targets", "target_modules names o_proj, down_proj, of which the file has no tensor"),
        ("fewer targets", "the config targets none of these modules"),
        ("a newer field", "has not, and leaves them out: use_warp"),
        ("a newer method", "names the method 'WARP', which PEFT"),
        ("no method", "names no method"),
        ("renamed", "are not named as PEFT names them"),
        ("a copy asked for", "modules_to_save names norm, of which the file has no tensor"),
        ("dora asked for", "lora_magnitude_vector"),
    ],
)
def test_its_own_config_tells_without_a_base(fault, said, made, tmp_path, capsys):
    shutil.copytree(made / "untied" / "lora-100", tmp_path / "adapter")
    change_config(tmp_path / "adapter", base_model_name_or_path="acme/nowhere")
    FAULTS[fault](tmp_path / "adapter")
    assert run(["adapter", str(tmp_path / "adapter"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["base"]["answer"] == "not compared"
    assert "acme/nowhere, is not at hand; --base MODEL" in found["base"]["not_compared"]
    whats = [each["what"] for each in found["findings"]]
    assert whats == [] if said is None else any(said in what for what in whats), whats


def test_one_file_is_an_adapter_too(made, tmp_path, capsys):
    shutil.copy(made / "untied" / "lora-100" / "adapter_model.safetensors", tmp_path / "mine.safetensors")
    assert run(["adapter", str(tmp_path / "mine.safetensors")]) == 0
    page = " ".join(capsys.readouterr().out.split())
    assert "PEFT opens a folder's adapter_model.safetensors, not mine.safetensors" in page
    assert "the tensors tell of r=4 and target_modules q_proj, v_proj" in page
    shutil.copy(made / "untied" / "lora-100" / "adapter_config.json", tmp_path)
    assert read_adapter(tmp_path / "mine.safetensors").base.answer == "loads"
    save_file({"model.norm.weight": torch.ones(3)}, tmp_path / "model.safetensors")
    with pytest.raises(InspectorError, match="holds no adapter"):
        read_adapter(tmp_path / "model.safetensors")


def test_sentences_that_the_files_do_not_bear_out_are_not_said(made, tmp_path):
    """The config alone is no proof that the file holds whole modules or biases."""
    shutil.copytree(made / "untied" / "lora-100", tmp_path / "adapter")
    change_config(tmp_path / "adapter", modules_to_save=["lm_head"], bias="all", base_model_name_or_path="")
    notes = " ".join(read_adapter(tmp_path / "adapter").notes)
    assert "whole" not in notes
    assert "biases" not in notes
    biased = read_adapter(made / "untied" / "biases-100")
    assert "biases" not in " ".join(biased.notes)  # this base has none


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (r"(a+)+$", True), (r"(?:x*)*y", True), (r".*.*.*x", True), (r"((a|b)*c)+", True), (r"[\d]+\w*z", True),
        (r".*?(?:vision|language).*?(?:attn|mlp).*?(?:q_proj|k_proj).*?", False), (r"[+*]{3}(a)(b)", False),
        (r"^(?!.*visual).*(?:q_proj|v_proj)$", False), (r".*\.layers\.(0|1)\..*_proj", False), (r"\.\d+\.q", False),
        (r"(a{0,30}){0,30}!", True), (r"(.?){30}!", True), (r".{0,9}.{0,9}!", True), (r"(?:model\.)?layers", False),
        (".?" * 13, True), (r"(?:\d{2}){2}x+?y", False),
    ],
)  # fmt: skip
def test_expressions_that_may_not_end_are_not_tried(expression, expected):
    assert endless(expression) is expected


def test_what_peft_would_run_or_repeat_is_not_tried(made, tmp_path):
    shutil.copytree(made / "untied" / "lora-100", tmp_path / "adapter")
    change_config(tmp_path / "adapter", megatron_config={"x": 1}, megatron_core="antigravity")
    answer = read_adapter(tmp_path / "adapter").base
    assert answer.answer == "not compared"
    assert "imports a module" in answer.not_compared
    for fields in ({"layer_replication": [[0, 2]] * 99}, {"target_modules": "(a+)+b"}, {"rank_pattern": {"(a+)+": 1}}):
        assert unfit({"peft_type": "LORA", **fields})
