"""Real files of trainers: each resolves as its tool resolves it, setting by setting; and what is broken is a line."""

import json
import re
from pathlib import Path

import pytest
import yaml

from inspector.errors import InspectorError
from inspector.fit.ways import finetune_anywhere
from inspector.simulate.setup.asked_files import for_every_way, together
from inspector.simulate.setup.configured import read_config
from inspector.simulate.setup.finetuning import resolve_setup
from inspector.skeleton.habits import usual

GIVEN = Path(__file__).parent / "given"
INDEX = json.loads((GIVEN / "index.json").read_text())["configs"]


def differences(expected, found, path=""):
    """What of the expected tree is otherwise in the found one; notes are for people."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for key, value in expected.items():
            if not key.endswith("note"):
                yield from differences(value, found.get(key, "missing"), f"{path}.{key}".lstrip("."))
    elif isinstance(expected, list) and isinstance(found, list):
        # The index names torchtune's w1 once with its other name in brackets and once without.
        if {re.sub(r" \(.*", "", one) for one in expected} != {re.sub(r" \(.*", "", one) for one in found}:
            yield path, expected, found
    elif expected != found or isinstance(expected, bool) != isinstance(found, bool):
        yield path, expected, found


def said_beside(row):
    """How many cards, where the thread says it and the file does not."""
    return row["expect"].get("num_processes") if "num_processes" in row["from_defaults"] else None


@pytest.mark.parametrize("row", INDEX, ids=lambda row: row["file"])
def test_every_given_file_resolves_as_its_index_says(row):
    expected = row["expect"]
    report = read_config(GIVEN / row["file"], gpus=said_beside(row))
    assert list(differences(expected, report.resolved)) == []


def test_every_setting_names_its_line_or_whose_default_it_is():
    for row in INDEX:
        path = GIVEN / row["file"]
        lines = path.read_text().splitlines()
        for one in read_config(path).told.values():
            if one.by != "file":
                assert re.search(r"\d|this one", one.where), one
                continue
            if "'s " in one.where:  # a file of that name that the tool ships
                continue
            assert one.where == f"{path.name}:{one.line}"
            assert re.search(r"\w", lines[one.line - 1])


def test_what_is_said_beside_a_file_wins_where_the_tool_has_it(tmp_path):
    train = GIVEN / "llama-factory" / "qwen2-7b-lora-32k-zero3-offload.yaml"
    engine = GIVEN / "deepspeed" / "zero2-offload-optimizer.json"
    report = read_config([train, engine], gpus=4)
    assert report.resolved["parallel"]["kind"] == "zero2"
    assert report.resolved["parallel"]["offload"] == "optimizer"
    assert report.resolved["num_processes"] == 4
    assert report.resolved["mixed_precision"] == "bf16"
    launcher = GIVEN / "accelerate" / "fsdp1-8gpu.yaml"
    recipe = GIVEN / "transformers" / "zephyr-7b-dpo-qlora.yaml"
    both = read_config([recipe, launcher]).resolved
    assert (both["parallel"]["kind"], both["num_processes"], both["method"]) == ("fsdp1", 8, "qlora")
    assert both["gradient_checkpointing"]["enabled"] is True


def test_auto_is_filled_where_the_model_is_known(tmp_path):
    recipe = tmp_path / "lf.yaml"
    recipe.write_text(yaml.safe_dump({
        "model_name_or_path": "Qwen/Qwen2.5-7B-Instruct", "stage": "sft", "finetuning_type": "lora", "bf16": True,
        "deepspeed": "examples/deepspeed/ds_z3_config.json",
    }))  # fmt: skip
    told = read_config(recipe, gpus=8).told
    assert told["parallel.reduce_bucket"].value == 3584 * 3584
    assert told["parallel.prefetch_bucket"].value == int(0.9 * 3584 * 3584)
    assert told["parallel.persistence_threshold"].value == 35840


def test_the_version_decides_and_is_told(tmp_path):
    recipe = tmp_path / "grpo.yaml"
    recipe.write_text("model_name_or_path: Qwen/Qwen2.5-1.5B\nnum_generations: 8\nuse_vllm: true\nuse_peft: false\n")
    today, before = read_config(recipe), read_config(recipe, tool_version="0.18.0")
    assert (today.value("beta"), before.value("beta")) == (0.0, 0.04)
    assert (today.value("reference_model"), before.value("reference_model")) == (None, "copy")
    assert (today.value("generation"), before.value("generation")) == ("vllm-colocate", "vllm-server")
    assert "0.18" in before.told["beta"].where


def test_a_file_it_names_is_read_only_beside_it(tmp_path):
    (tmp_path / "train").mkdir()
    engine = {"zero_optimization": {"stage": 1}, "bf16": {"enabled": "auto"}}
    (tmp_path / "outside.json").write_text(json.dumps(engine))
    (tmp_path / "train" / "ds.json").write_text(json.dumps(engine))
    (tmp_path / "train" / "link.json").symlink_to(tmp_path / "outside.json")
    base = {"base_model": "Qwen/Qwen2.5-7B", "micro_batch_size": 1}
    for named, kind in (("ds.json", "zero1"), ("../outside.json", "unknown"), ("link.json", "unknown"),
                        (str(tmp_path / "outside.json"), "unknown")):  # fmt: skip
        path = tmp_path / "train" / "ax.yaml"
        path.write_text(yaml.safe_dump({**base, "deepspeed": named}))
        report = read_config(path)
        assert report.value("parallel.kind") == kind
        assert bool(report.not_read) == (kind == "unknown")


def test_what_changes_memory_and_is_not_understood_comes_first(tmp_path):
    path = tmp_path / "ax.yaml"
    path.write_text(yaml.safe_dump({
        "base_model": "Qwen/Qwen2.5-7B", "wandb_project": "x", "seqence_len": 512, "tiled_mlp": True, "debug": False,
        "torch_compile": False, "learning_rate": "2e-5",
    }))  # fmt: skip
    report = read_config(path)
    assert [(one.key, one.matters) for one in report.not_read] == [
        ("tiled_mlp", True), ("debug", None), ("seqence_len", None)
    ]  # fmt: skip
    assert "sequence_len" in report.not_read[2].why
    assert report.without_effect == 2


GOOD = {
    "axolotl": {"base_model": "Qwen/Qwen2.5-7B", "adapter": "lora", "lora_r": 8, "lora_alpha": 16},
    "llama-factory": {"model_name_or_path": "Qwen/Qwen2.5-7B", "stage": "sft", "finetuning_type": "lora"},
    "trl": {"model_name_or_path": "Qwen/Qwen2.5-7B", "use_peft": True, "max_length": 512},
    "firefly": {"model_name_or_path": "Qwen/Qwen2.5-7B", "train_file": "a", "template_name": "b", "bf16": True},
    "transformers": {"output_dir": "x", "learning_rate": 1e-4, "bf16": True},
    "torchtune": {"model": {"_component_": "torchtune.models.llama3.lora_llama3_8b"}, "batch_size": 2},
    "inspector": {"model": "llama-3.1-8b", "method": "lora", "r": 8},
    "accelerate": {"distributed_type": "FSDP", "num_processes": 2, "fsdp_config": {}},
    "deepspeed": {"zero_optimization": {"stage": 2}, "train_batch_size": "auto"},
}
WRONG = {
    "axolotl": (
        {"lora_r": "many"}, {"lora_r": None}, {"micro_batch_size": 0}, {"micro_batch_size": [1]}, {"rl": "nope"},
        {"sequence_len": 1.5}, {"gradient_accumulation_steps": 2, "batch_size": 8}, {"bf16": "perhaps"},
        {"flash_attention": True, "attn_implementation": "sdpa"}, {"lora_dropout": "high"}, {"base_model": ["a"]},
        {"fsdp_config": {"fsdp_version": 3}}, {"adapter": "qlora"}, {"bnb_config_kwargs": 3},
        {"lora_target_modules": [1, 2]}, {"fsdp_config": "full"}, {"sequence_len": -1}, {"load_in_8bit": "so"},
        {"val_set_size": "a"}, {"lora_alpha": True},
    ),
    "llama-factory": (
        {"stage": "nope"}, {"finetuning_type": "nope"}, {"quantization_bit": 5}, {"quantization_bit": "four"},
        {"fp16": True, "bf16": True}, {"cutoff_len": 0}, {"lora_rank": -1}, {"flash_attn": "fast"}, {"packing": 7},
        {"lora_dropout": None, "lora_rank": 1.5}, {"per_device_train_batch_size": "x"}, {"lora_target": 3},
        {"quantization_bit": 4, "finetuning_type": "full"}, {"use_galore": "so"}, {"pref_loss": ["a"]},
        {"gradient_accumulation_steps": 0}, {"quantization_method": "nope"}, {"model_name_or_path": {"a": 1}},
        {"deepspeed": {"zero_optimization": {"stage": 9}}}, {"max_grad_norm": float("nan")},
    ),
    "trl": (
        {"lora_r": 0}, {"lora_r": "x"}, {"load_in_4bit": True, "load_in_8bit": True}, {"bf16": True, "fp16": True},
        {"max_length": -1}, {"max_length": "long"}, {"gradient_checkpointing": "so"},
        {"beta": "b", "num_generations": 2},
        {"gradient_checkpointing_kwargs": 5}, {"lora_target_modules": [[1]]}, {"optim": ["adam"]}, {"use_peft": 3},
        {"per_device_train_batch_size": 0}, {"lora_dropout": float("inf")}, {"fsdp": "full_shard", "fsdp_config": {
            "fsdp_offload_params": "so"}}, {"deepspeed": {"zero_optimization": 3}}, {"dtype": ["float32"]},
        {"packing": "so"}, {"max_completion_length": 0, "num_generations": 2}, {"attn_implementation": {"a": 1}},
    ),
    "firefly": (
        {"bf16": False}, {"bf16": True, "fp16": True}, {"train_mode": "half"}, {"task_type": "rlhf"}, {"lora_rank": 0},
        {"lora_alpha": "x"}, {"lora_dropout": "x"}, {"max_seq_length": 0}, {"max_seq_length": [1]}, {"optim": {}},
        {"use_unsloth": "so"}, {"gradient_checkpointing": 3}, {"per_device_train_batch_size": -2}, {"beta": []},
        {"task_type": ["sft"]}, {"model_name_or_path": ["a"]}, {"gradient_accumulation_steps": 1.5},
        {"deepspeed": {"zero_optimization": {"stage": -1}}}, {"max_grad_norm": "big"}, {"bf16": "so"},
    ),
    "transformers": (
        {"per_device_train_batch_size": 0}, {"per_device_train_batch_size": "x"}, {"bf16": True, "fp16": True},
        {"gradient_checkpointing": "so"}, {"gradient_checkpointing_kwargs": [1]}, {"optim": {"a": 1}},
        {"gradient_accumulation_steps": -1}, {"max_grad_norm": "x"}, {"eval_strategy": ["no"]}, {"do_eval": "so"},
        {"deepspeed": {"zero_optimization": {"stage": 5}}}, {"deepspeed": {"zero_optimization": 1}}, {"fsdp": True,
         "fsdp_config": {"version": 7}}, {"use_liger_kernel": "so"}, {"torch_empty_cache_steps": 0},
        {"per_device_eval_batch_size": 0, "do_eval": True}, {"adafactor": "so"}, {"max_seq_length": 0},
        {"fsdp": "full_shard", "fsdp_config": 3}, {"bf16": "so"},
    ),
    "torchtune": (
        {"batch_size": 0}, {"batch_size": "x"}, {"dtype": "fp8"}, {"dtype": ["bf16"]}, {"model": {}},
        {"model": {"_component_": "a.lora_x", "lora_rank": 0}}, {"model": {"_component_": ["a"]}},
        {"model": {"_component_": "a.lora_x", "lora_attn_modules": 3}}, {"gradient_accumulation_steps": 0},
        {"model": {"_component_": "a.lora_x", "lora_alpha": "x"}}, {"tokenizer": {"max_seq_len": 0}},
        {"dataset": {"packed": True}}, {"dataset": {"packed": "so"}, "tokenizer": {"max_seq_len": 8}},
        {"enable_activation_checkpointing": "so"}, {"optimizer": {"_component_": {"a": 1}}}, {"tokenizer": 4},
        {"loss": {"_component_": "LinearCrossEntropyLoss", "num_output_chunks": 0}}, {"clip_grad_norm": "x"},
        {"loss": {"_component_": "DPOLoss", "beta": "x"}}, {"model": {"_component_": "a.lora_x", "use_dora": 4}},
    ),
    "inspector": (
        {"r": 0}, {"r": "x"}, {"method": "half"}, {"batch_size": 0}, {"batch_size": [1]}, {"seq_len": 1},
        {"dtype": "int3"}, {"scheme": "nf5"}, {"optimizer": "adamx"}, {"dropout": 2}, {"attention": "fast"},
        {"bits": 3}, {"method": "full"}, {"grad_clip": -1}, {"loss": "some"}, {"alpha": True}, {"steps": 0},
        {"method": "qlora", "scheme": "none"}, {"autocast": "fp8"}, {"double_quant": True},
    ),
    "accelerate": (
        {"num_processes": "x"}, {"num_processes": 0}, {"distributed_type": "XLA"}, {"mixed_precision": "fp8"},
        {"nope": 1}, {"fsdp_config": {"fsdp_version": 4}}, {"fsdp_config": {"fsdp_auto_wrap_policy": "x"}},
        {"fsdp_config": 3}, {"fsdp_config": {"fsdp_sharding_strategy": "NO_SHARD"}}, {"num_machines": "two"},
        {"fsdp_config": {"fsdp_backward_prefetch": "x"}}, {"fsdp_config": {"fsdp_use_orig_params": "so"}},
        {"fsdp_config": {"fsdp_sync_module_states": False}}, {"compute_environment": "AMAZON_SAGEMAKER"},
        {"fsdp_config": {"fsdp_offload_params": 7}}, {"fsdp_config": {"fsdp_forward_prefetch": []}},
        {"fsdp_config": {"fsdp_version": 2, "fsdp_reshard_after_forward": "x"}}, {"use_cpu": True},
        {"fsdp_config": {"fsdp_auto_wrap_policy": "SIZE_BASED_WRAP", "fsdp_min_num_params": "x"}},
        {"num_processes": None},
    ),
    "deepspeed": (
        {"zero_optimization": {"stage": 4}}, {"zero_optimization": {"stage": "x"}}, {"zero_optimization": []},
        {"zero_optimization": {"stage": 2, "offload_param": {"device": "cpu"}}}, {"fp16": {"enabled": "so"}},
        {"zero_optimization": {"stage": 3, "offload_param": {"device": "disk"}}}, {"gradient_clipping": "x"},
        {"zero_optimization": {"stage": 0, "offload_optimizer": {"device": "cpu"}}}, {"gradient_clipping": -1},
        {"fp16": {"enabled": True}, "bf16": {"enabled": True}}, {"train_micro_batch_size_per_gpu": 0},
        {"gradient_accumulation_steps": "x"}, {"gradient_accumulation_steps": 1.5}, {"fp16": 3}, {"bf16": [1]},
        {"zero_optimization": {"stage": 2, "reduce_bucket_size": "x"}}, {"optimizer": 3}, {"gradient_clipping": True},
        {"zero_optimization": {"stage": 2, "offload_optimizer": 7}},
        {"zero_optimization": {"allgather_bucket_size": -1}},
    ),
}  # fmt: skip


@pytest.mark.parametrize("tool", WRONG)
def test_twenty_wrong_values_are_a_line_each_and_name_the_file(tool, tmp_path):
    path = tmp_path / "it.json"
    path.write_text(json.dumps(GOOD[tool], indent=1))
    assert tool in read_config(path).tools
    assert len(WRONG[tool]) == 20
    for wrong in WRONG[tool]:
        path.write_text(json.dumps({**GOOD[tool], **wrong}, indent=1))
        with pytest.raises(InspectorError) as caught:
            read_config(path)
        said = caught.value.message
        assert "\n" not in said
        assert len(said) < 400
        if tool != "inspector":
            assert "it.json" in said, (wrong, said)


BROKEN = {
    "exports": (
        "model_name_or_path: a/b\ntemplate: qwen3\nexport_dir: out\n",
        "it.yaml:3: LLaMA-Factory chats with, serves or exports a model by this file: it trains nothing",
    ),
    "next version": (
        "model: a/b\nmodel_class: llm\nmicro_batch_size: 1\ntrain_dataset: x\n",
        "it.yaml is of LLaMA-Factory's version 1",
    ),
    "eight bits sharded": (
        "base_model: a/b\noptimizer: adamw_8bit\nfsdp_version: 2\nfsdp_config:\n  offload_params: false\n",
        "it.yaml:2: FSDP2 not compatible with adamw_8bit",
    ),
    "kernels under FSDP1": (
        "base_model: a/b\nadapter: lora\nlora_r: 8\nlora_alpha: 8\nlora_qkv_kernel: true\nfsdp_config:\n  version: 1\n",
        "it.yaml:6: lora_mlp_kernel, lora_qkv_kernel and lora_o_kernel are not for FSDP1",
    ),
    "not yaml": ("a: [1", ":1"), "tag": ("base_model: !!python/object/apply:os.system [true]", ":1"),
    "own tag": ("base_model: !include other.yaml", ":1"), "bomb": (
        "a: &a [x, x, x, x, x, x, x, x, x]\n" + "\n".join(
            f"{chr(98 + at)}: &{chr(98 + at)} [{', '.join([f'*{chr(97 + at)}'] * 9)}]" for at in range(12)
        ), "anchors"),
    "deep": ("base_model: " + "{a: " * 60 + "1" + "}" * 60, "deeper"), "twice": ("base_model: a\nbase_model: b", ":2"),
    "a list": ("- a\n- b", "no keys"), "empty": ("", "no keys"), "a number": ("7", "no keys"),
    "large": ("x: " + "a" * 1_000_001, "larger"), "wide": ("x: [" + "1," * 30_000 + "]", "more values"),
    "json": ('{"a": 1,}', "no JSON"), "two documents": ("a: 1\n---\nb: 2", "document"), "tabs": ("a:\n\t- b", ":2"),
    "binary": ("\x00\x01", "neither"), "list as a key": ("? [a, b]\n: 1", "a key is a word"),
    "unknown": ("hello: world\nfoo: bar", "none that is known"), "number as a key": ("1: a\n2: b", "no keys"),
    "no alias": ("base_model: *nowhere", ":1"), "html": ("<html>\n<body>", "no keys"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_a_line_with_its_line(name, tmp_path):
    content, said = BROKEN[name]
    path = tmp_path / "it.yaml"
    path.write_text(content)
    with pytest.raises(InspectorError) as caught:
        read_config(path)
    assert said in f"{caught.value.message} {caught.value.hint}"
    assert "it.yaml" in caught.value.message
    assert len(caught.value.message) < 300


def test_anchors_are_read_where_they_are_no_bomb(tmp_path):
    path = tmp_path / "it.yaml"
    path.write_text("base_model: Qwen/Qwen2.5-7B\nadapter: lora\nlora_r: &r 8\nlora_alpha: *r\n")
    assert read_config(path).value("lora.alpha") == 8


REFUSED = {
    "trl/qwen2.5-1.5b-grpo-vllm.yaml": "logits of grpo are not simulated",
    "torchtune/llama3-8b-qdora-single.yaml": "nf4-torchao is not simulated",
    "transformers/smollm3-3b-apo-padding-free.yaml": "without padding are not simulated",
    "transformers/llama3-8b-firefly-qlora.json": "unsloth's own checkpointing is not simulated",
}
WORDS = {
    "per_device_batch": "batch_size", "gradient_accumulation": "grad_accum", "seq_len": "seq_len",
    "optimizer": "optimizer", "attention": "attention", "load_dtype": "dtype", "packing": "packed",
}  # fmt: skip


@pytest.mark.parametrize("row", INDEX, ids=lambda row: row["file"])
def test_what_a_file_says_is_what_is_simulated_or_one_line(row):
    file, expected = row["file"], row["expect"]
    needs_cards = expected["parallel"]["kind"].startswith(("fsdp", "zero", "ddp"))
    gpus = expected["num_processes"] or (8 if needs_cards else None)
    if file in REFUSED:
        with pytest.raises(InspectorError) as caught:
            together([GIVEN / file], {}, gpus=gpus)
        assert REFUSED[file] in caught.value.message
        return
    found = together([GIVEN / file], {}, gpus=gpus)
    assert (found.parallel.strategy if found.parallel else None) == (
        expected["parallel"]["kind"] if needs_cards else None
    )
    settings = resolve_setup(from_files=found.settings).settings
    assert settings.objective == (expected.get("objective") or "sft")
    for name, word in WORDS.items():
        if isinstance(expected.get(name), (int, str)) and expected.get(name) != "auto":
            assert getattr(settings, word) == (usual(word, expected[name]) if word == "optimizer" else expected[name])
    if lora := expected.get("lora"):
        assert (settings.r, settings.alpha, settings.use_dora) == (lora["r"], lora["alpha"], lora.get("dora", False))
    if expected.get("model"):
        assert settings.method == expected["method"] if not expected["quantization"] else "qlora"
        assert settings.scheme == (expected["quantization"] or {"scheme": "none"})["scheme"]
        assert settings.gradient_checkpointing == expected["gradient_checkpointing"]["enabled"]


def test_what_is_typed_goes_before_the_file_and_refuses_nothing():
    file = GIVEN / "torchtune" / "llama3-8b-qdora-single.yaml"
    found = together([file], {"scheme": "nf4", "seq_len": 512, "attention": None})
    assert "scheme" not in found.settings
    assert found.settings["target_modules"] == ["q_proj", "v_proj", "o_proj", "gate_proj", "down_proj", "up_proj"]
    settings = resolve_setup(from_files=found.settings, scheme="nf4", seq_len=512).settings
    assert (settings.scheme, settings.seq_len, settings.batch_size, settings.use_dora) == ("nf4", 512, 2, True)


def test_numbers_that_contradict_deepspeeds_are_refused_as_transformers_does(tmp_path):
    engine = tmp_path / "ds.json"
    engine.write_text(json.dumps({"zero_optimization": {"stage": 2}, "train_micro_batch_size_per_gpu": 7,
                                  "train_batch_size": "auto", "gradient_accumulation_steps": "auto"}))  # fmt: skip
    train = GIVEN / "llama-factory" / "qwen2-7b-lora-32k-zero3-offload.yaml"
    with pytest.raises(InspectorError, match="mismatch TrainingArguments"):
        finetune_anywhere("llama-3.2-1b", config=[train, engine], gpus=2, attention="sdpa")


def test_deepspeed_holds_the_trainers_precision(tmp_path):
    found = together([GIVEN / "llama-factory" / "qwen2-7b-lora-32k-zero3-offload.yaml"], {}, gpus=8)
    assert (found.settings["autocast"], found.settings["outputs_fp32"]) == ("none", False)
    assert found.deepspeed["bf16"]["enabled"] is True
    assert found.deepspeed["fp16"]["enabled"] is False
    assert found.parallel.param_dtype == "bfloat16"


def test_a_file_of_our_own_says_what_can_be_typed(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("model: llama-3.2-1b\nmethod: full\nbatch_size: 4\ngpus: 8\nparallel: fsdp2\n")
    found = together([path], {})
    assert found.settings == {"method": "full", "batch_size": 4}
    assert (found.parallel.strategy, found.parallel.world_size) == ("fsdp2", 8)
    assert found.model == "llama-3.2-1b"


def test_no_length_and_no_count_are_asked_for(tmp_path):
    path = tmp_path / "args.json"
    path.write_text(json.dumps({"output_dir": "x", "bf16": True, "optim": "adamw_torch"}))
    with pytest.raises(InspectorError, match="how long a sequence is"):
        together([path], {})
    assert together([path], {"seq_len": 64}).settings["batch_size"] == 8
    path.write_text(json.dumps({"output_dir": "x", "bf16": True, "fsdp": "full_shard", "max_seq_length": 64}))
    with pytest.raises(InspectorError, match="how many cards"):
        together([path], {})
    with pytest.raises(InspectorError, match="a card alone is asked for"):
        for_every_way([path], {}, one_card=True)


@pytest.mark.parametrize(
    ("more", "packed"), [("", "bfloat16"), ("bnb_config_kwargs:\n  bnb_4bit_quant_storage: uint8\n", "auto")]
)
def test_what_a_file_packs_4_bit_weights_in_is_what_fsdp_shards(tmp_path, more, packed):
    """axolotl packs them in bfloat16: FSDP1 flattens no bytes."""
    from inspector.simulate.setup.cards_asked import CardsAsked

    (tmp_path / "a.yml").write_text(
        "base_model: meta-llama/Llama-3.2-1B\nadapter: qlora\nload_in_4bit: true\nmicro_batch_size: 1\n"
        "gradient_accumulation_steps: 1\nsequence_len: 64\nbf16: true\nlora_r: 8\nlora_alpha: 8\n"
        "lora_target_linear: true\n"
        f"fsdp_config:\n  fsdp_version: 1\n  fsdp_sharding_strategy: FULL_SHARD\n{more}"
    )
    made = CardsAsked(gpus=2, config=[tmp_path / "a.yml"]).together({}).parallel
    assert (made.strategy, made.quant_storage) == ("fsdp1", packed)
    typed = CardsAsked(gpus=2, config=[tmp_path / "a.yml"], quant_storage="float32").together({}).parallel
    assert typed.quant_storage == "float32"
