"""Files of accelerate and DeepSpeed: read as their own libraries read them, refused in their words, with the line."""

from __future__ import annotations

import json

import pytest
import yaml

from inspector.errors import InspectorError
from inspector.simulate.setup.readers.accelerate import read_accelerate
from inspector.simulate.setup.readers.config_file import MOST_BYTES, read_config_file
from inspector.simulate.setup.readers.deepspeed import filled, read_deepspeed
from inspector.simulate.setup.readers.several import several

FSDP = {"distributed_type": "FSDP", "num_processes": 4, "mixed_precision": "bf16"}
FILES = {
    "nothing said": {**FSDP, "fsdp_config": {}},
    "first version": {**FSDP, "fsdp_config": {
        "fsdp_auto_wrap_policy": "TRANSFORMER_BASED_WRAP", "fsdp_backward_prefetch": "BACKWARD_POST",
        "fsdp_forward_prefetch": True, "fsdp_offload_params": True, "fsdp_sharding_strategy": "SHARD_GRAD_OP",
        "fsdp_use_orig_params": False,
    }},
    "strategy by number": {**FSDP, "mixed_precision": "no", "fsdp_config": {
        "fsdp_sharding_strategy": 2, "fsdp_backward_prefetch": "1", "fsdp_cpu_ram_efficient_loading": False,
        "fsdp_sync_module_states": False,
    }},
    "reshard without a strategy": {**FSDP, "fsdp_config": {"fsdp_reshard_after_forward": "SHARD_GRAD_OP"}},
    "by size": {**FSDP, "fsdp_config": {"fsdp_auto_wrap_policy": "size_based_wrap", "fsdp_min_num_params": 2000}},
    "without the prefix": {**FSDP, "fsdp_config": {"sharding_strategy": "SHARD_GRAD_OP", "forward_prefetch": "yes"}},
    "second version": {**FSDP, "mixed_precision": "fp16", "fsdp_config": {
        "fsdp_version": 2, "fsdp_reshard_after_forward": False, "fsdp_activation_checkpointing": True,
        "fsdp_auto_wrap_policy": "TRANSFORMER_BASED_WRAP", "fsdp_offload_params": False,
    }},
    "second version, words": {**FSDP, "fsdp_config": {
        "fsdp_version": "2", "fsdp_reshard_after_forward": "true", "fsdp_offload_params": "true",
        "fsdp_forward_prefetch": True,
    }},
    "DDP": {"distributed_type": "MULTI_GPU", "num_processes": 2, "mixed_precision": "fp16"},
    "one process": {"distributed_type": False, "num_processes": 8},
}  # fmt: skip
ZERO = {"distributed_type": "DEEPSPEED", "num_processes": 4, "mixed_precision": "bf16"}
ZEROS = {
    "zero, nothing said": {**ZERO, "deepspeed_config": {}},
    "zero 3": {**ZERO, "deepspeed_config": {"zero_stage": 3, "offload_param_device": "cpu", "gradient_clipping": 1.0}},
    "zero 2": {**ZERO, "deepspeed_config": {"zero_stage": 2, "offload_optimizer_device": "cpu",
                                            "gradient_accumulation_steps": 4}},
}  # fmt: skip


def written(folder, content, name="accelerate.yaml"):
    path = folder / name
    path.write_text(yaml.safe_dump(content) if name.endswith("yaml") else json.dumps(content, indent=1))
    return path


def launched(path, monkeypatch):
    """The launcher's arguments and the variables that the process finds, both by accelerate's own code."""
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser
    from accelerate.utils import launch

    args = launch_command_parser().parse_args(["--config_file", str(path), "train.py"])
    args, defaults, _ = _validate_launch_command(args)
    if args.use_deepspeed:
        args.deepspeed_fields_from_accelerate_config = ",".join(defaults.deepspeed_config)
        _, variables = launch.prepare_deepspeed_cmd_env(args)
    else:
        variables = launch.prepare_multi_gpu_env(args)
    for name, value in variables.items():
        if name.startswith(("FSDP_", "ACCELERATE_")):
            monkeypatch.setenv(name, value)
    return args


@pytest.mark.parametrize("name", FILES)
def test_as_accelerates_launcher_and_plugin(name, tmp_path, monkeypatch):
    path = written(tmp_path, FILES[name])
    ours = read_accelerate(read_config_file(path))
    args = launched(path, monkeypatch)
    assert (args.multi_gpu, args.use_fsdp) == (ours.parallel == "ddp", ours.parallel in {"fsdp1", "fsdp2"})
    assert ours.gpus == (args.num_processes if ours.parallel else 1)
    assert args.mixed_precision == ours.settings.get("autocast", "no")
    if args.use_fsdp:
        plugin = fsdp_plugin(monkeypatch)
        read = theirs(plugin, args.mixed_precision)
        assert {key: ours.fields.get(key) for key in read} == read
        assert plugin.activation_checkpointing == bool(ours.settings.get("gradient_checkpointing"))
        assert ours.parallel == f"fsdp{plugin.fsdp_version}"


def fsdp_plugin(monkeypatch):
    from accelerate.utils import dataclasses

    # It asks which card it is on for what it makes of the other ranks' weights.
    monkeypatch.setattr(dataclasses, "is_cuda_available", lambda: True)
    monkeypatch.setattr("torch.cuda.current_device", lambda: 0)
    return dataclasses.FullyShardedDataParallelPlugin()


def theirs(plugin, precision):
    """The plugin's fields in our words."""
    layers = "trainer" if plugin.fsdp_version == 2 else "layers"
    wraps = {"transformer_auto_wrap_policy": layers, "size_based_auto_wrap_policy": "size", "": "none"}
    offload = getattr(plugin.cpu_offload, "offload_params", type(plugin.cpu_offload).__name__ == "CPUOffloadPolicy")
    found = {
        "wrap": wraps[getattr(plugin.auto_wrap_policy, "__name__", "")],
        "offload": "params" if offload else "none",
    }
    if plugin.min_num_params is not None:
        found["min_num_params"] = plugin.min_num_params
    if plugin.fsdp_version == 2:
        found["reshard_after_forward"] = plugin.reshard_after_forward
    else:
        found |= {
            "reshard_after_forward": plugin.sharding_strategy.name == "FULL_SHARD",
            "use_orig_params": plugin.use_orig_params,
            "sync_module_states": plugin.sync_module_states,
            "forward_prefetch": plugin.forward_prefetch,
            "backward_prefetch": {"BACKWARD_PRE": "pre", "BACKWARD_POST": "post"}.get(
                getattr(plugin.backward_prefetch, "name", ""), "none"
            ),
        }
    if precision != "no":
        plugin.set_mixed_precision(precision)
        for name in ("param_dtype", "reduce_dtype", "buffer_dtype"):
            if dtype := getattr(plugin.mixed_precision_policy, name, None):
                found[name] = str(dtype).removeprefix("torch.")
    return found


@pytest.mark.parametrize("name", ZEROS)
def test_as_accelerates_deepspeed_plugin(name, tmp_path, monkeypatch):
    from accelerate.utils.dataclasses import DeepSpeedPlugin

    path = written(tmp_path, ZEROS[name])
    launched(path, monkeypatch)
    plugin = DeepSpeedPlugin()
    found = several([path])
    zero = found.deepspeed["zero_optimization"]
    assert f"zero{plugin.zero_stage}" == found.parallel.strategy
    assert zero["stage"] == plugin.zero_stage
    for part in ("offload_param", "offload_optimizer"):
        assert zero[part]["device"] == plugin.deepspeed_config["zero_optimization"][part]["device"]
    for key in ("gradient_accumulation_steps", "gradient_clipping"):
        assert found.deepspeed[key] == plugin.deepspeed_config[key]
    assert found.parallel.param_dtype == "bfloat16"
    assert "autocast" not in found.settings


def test_auto_is_filled_as_transformers_fills_it():
    from types import SimpleNamespace

    from accelerate.utils.deepspeed import HfDeepSpeedConfig
    from transformers.integrations.deepspeed import HfTrainerDeepSpeedConfig

    # The package itself is not there: transformers' class stands on accelerate's.
    both = type("Both", (HfTrainerDeepSpeedConfig, HfDeepSpeedConfig), {"__init__": HfDeepSpeedConfig.__init__})
    trained = ("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps", "gradient_clipping")
    sizes = ("reduce_bucket_size", "stage3_prefetch_bucket_size", "stage3_param_persistence_threshold")
    auto = dict.fromkeys(trained, "auto")
    for stage in (2, 3):
        zero = dict.fromkeys(sizes, "auto")
        config = {**auto, "bf16": {"enabled": "auto"}, "fp16": {"enabled": "auto"},
                  "zero_optimization": {"stage": stage, **zero}}  # fmt: skip
        real = both(config)
        real.mismatches = []
        args = SimpleNamespace(
            world_size=4, per_device_train_batch_size=2, gradient_accumulation_steps=8, max_grad_norm=0.5,
            learning_rate=1e-4, adam_beta1=0.9, adam_beta2=0.99, adam_epsilon=1e-8, weight_decay=0.0,
            save_on_each_node=False, fp16=False, fp16_full_eval=False, bf16=True, bf16_full_eval=False,
            get_warmup_steps=lambda _: 0,
        )  # fmt: skip
        real.trainer_config_process(args)
        real.trainer_config_finalize(args, SimpleNamespace(config=SimpleNamespace(hidden_size=96)), 100)
        ours = filled(config, hidden_size=96, world_size=4, batch_size=2, grad_accum=8, grad_clip=0.5, precision="bf16")
        assert ours == real.config


REFUSED = {
    "unknown key": ({**FSDP, "compute": 1}, "accelerate.yaml:1: accelerate refuses the unknown key compute"),
    "no kind": ({"compute_environment": "LOCAL_MACHINE"}, "`distributed_type` must be specified"),
    "TPU": ({"distributed_type": "XLA", "num_processes": 8}, "XLA is not simulated"),
    "sync": ({**FSDP, "fsdp_config": {"fsdp_sync_module_states": False}}, "set `--fsdp_sync_module_states` to `True`"),
    "policy": ({**FSDP, "fsdp_config": {"fsdp_auto_wrap_policy": "nope"}}, "Invalid auto wrap policy: nope"),
    "reshard": ({**FSDP, "fsdp_config": {"fsdp_version": 2, "fsdp_reshard_after_forward": "FULL_SHARD"}},
                "not supported with FSDP2, please set to a `bool`"),
    "number": ({**FSDP, "num_processes": "many"}, "accelerate.yaml:3: num_processes is a whole number"),
    "context": ({**FSDP, "fsdp_config": {"fsdp_version": 2}, "parallelism_config": {"parallelism_config_sp_size": 2}},
                "sp_size is not simulated"),
    "beside": ({**FSDP, "fsdp_config": {"fsdp_version": 2}, "parallelism_config": {"cp_size": 2, "tp_size": 2}},
               "cp_size beside tp_size"),
}  # fmt: skip


def test_sequences_in_parts(tmp_path):
    content = {**FSDP, "fsdp_config": {"fsdp_version": 2}, "parallelism_config": {"parallelism_config_cp_size": 2}}
    assert several([written(tmp_path, content)]).parallel.words == "cp:2+fsdp2"


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_a_line(name, tmp_path):
    content, said = REFUSED[name]
    with pytest.raises(InspectorError) as caught:
        several([written(tmp_path, content)])
    assert said in str(caught.value)
    assert "\n" not in str(caught.value).split("hint")[0]


CONTRADICTIONS = {
    "fsdp beside DeepSpeed": ([FSDP], {"zero_optimization": {"stage": 3}}, {}, "trains with fsdp1"),
    "fields twice": ([ZEROS["zero 3"]], {"zero_optimization": {"stage": 3}}, {}, "will be ignored"),
    "both halves": ([], {"fp16": {"enabled": True}, "bf16": {"enabled": True}}, {"gpus": 8}, "simultaneously enabled"),
    "no stage": ([], {"zero_optimization": {"stage": 4}}, {"gpus": 8}, "ds.json:3: there are the ZeRO stages"),
    "params without stage 3": ([], {"zero_optimization": {"stage": 2, "offload_param": {"device": "cpu"}}},
                               {"gpus": 8}, "offload_param is for stage 3"),
    "another way": ([FSDP], None, {"parallel": "zero3"}, "contradict each other"),
    "how many": ([], {"zero_optimization": {"stage": 3}}, {}, "how many is not said"),
    "which way": ([], None, {"gpus": 8}, "share a training in many ways"),
}  # fmt: skip


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_contradictions(name, tmp_path):
    launchers, engine, options, said = CONTRADICTIONS[name]
    files = [written(tmp_path, content) for content in launchers]
    files += [written(tmp_path, engine, "ds.json")] if engine is not None else []
    with pytest.raises(InspectorError) as caught:
        several(files, **options)
    assert said in str(caught.value)


def test_what_is_typed_goes_before_a_file(tmp_path):
    path = written(tmp_path, {**FSDP, "fsdp_config": {"fsdp_use_orig_params": False}, "num_machines": 2})
    found = several([path], gpus=16, offload="params")
    assert (found.parallel.world_size, found.parallel.nodes, found.parallel.offload) == (16, 2, "params")
    assert found.settings == {"autocast": "bf16", "outputs_fp32": True}
    assert found.set_at["use_orig_params"] == "accelerate.yaml:3"
    assert several([], parallel="fsdp2", gpus=4).parallel.strategy == "fsdp2"
    assert several([]).parallel is None


def test_a_deepspeed_file_that_a_launcher_names(tmp_path):
    launcher = written(tmp_path, {**ZERO, "deepspeed_config": {"deepspeed_config_file": "ds.json"}})
    engine = written(tmp_path, {"zero_optimization": {"stage": 1, "nope": 1}, "train_micro_batch_size_per_gpu": 2.0,
                                "gradient_clipping": 0.5, "what": 1}, "ds.json")  # fmt: skip
    with pytest.raises(InspectorError, match="names a DeepSpeed file"):
        several([launcher])
    found = several([engine, launcher])
    assert found.parallel.strategy == "zero1"
    assert found.parallel.world_size == 4
    assert found.settings == {"batch_size": 2, "grad_clip": 0.5}
    assert set(found.not_understood) == {"ds.json:8: what is not read", "ds.json:4: zero_optimization.nope is not read"}
    with pytest.raises(InspectorError, match="mismatch TrainingArguments"):
        filled(found.deepspeed, hidden_size=8, world_size=4, batch_size=4, grad_accum=1, grad_clip=0, precision="bf16")
    assert read_deepspeed(read_config_file(engine)).parallel == "zero1"


def test_hostile_files(tmp_path):
    bombs = {
        "aliases": "a: &a [x, x]\nb: [*a, *a]\ndistributed_type: FSDP",
        "code": "distributed_type: !!python/object/apply:os.system [true]",
        "deep": "distributed_type: " + "[" * 300,
        "twice": "distributed_type: FSDP\ndistributed_type: NO",
        "large": "x" * (MOST_BYTES + 1),
        "many": "distributed_type: [" + "1," * 30000 + "]",
        "list": "[1, 2]",
        "empty": "",
        "json": '{"zero_optimization": {"stage": 3,}',
        "not text": "\x00\x01",
    }
    for name, content in bombs.items():
        path = tmp_path / f"{name}.yaml"
        path.write_text(content)
        with pytest.raises(InspectorError):
            several([path], gpus=2)
