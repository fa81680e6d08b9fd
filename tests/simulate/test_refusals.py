"""What the model's own code refuses is one line; a mistake of ours is a traceback, in a search too, never kept."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
import torch

from inspector import fit
from inspector.errors import CannotSimulateError, ContradictionError, InspectorError
from inspector.fit.largest import largest_settings
from inspector.fit.longest_prompt import generate_with_longest_prompt
from inspector.fit.plan import plan
from inspector.fit.simulator import Simulator
from inspector.fit.table import fit_table
from inspector.gpus import card_of_size, find_gpu
from inspector.simulate.device import attention, kernels
from inspector.simulate.finetuning import finetune
from inspector.simulate.generation import simulate_generate
from inspector.simulate.program import adapters, decoding_loop
from inspector.simulate.program.decoding import trace_generate
from inspector.simulate.program.training import trace_finetune
from inspector.simulate.setup.finetuning import resolve_setup
from inspector.simulate.setup.generation import GenerateSettings
from inspector.simulate.tracing.shape_memory import ShapeMemory
from inspector.store import answers
from inspector.store.entries import store_folder
from tests.simulate.families import small_config


def small(layers=2, **fields):
    return {
        "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 64, "intermediate_size": 128,
        "num_hidden_layers": layers, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 128,
        "dtype": "float32", **fields,
    }  # fmt: skip


def settings_of(**settings):
    return resolve_setup(**{"method": "lora", "batch_size": 1, "seq_len": 64, "steps": 1, **settings}).settings


def setup_of(**settings):
    return settings_of(**settings).setup


def ours(*_args, **_kwargs):
    return {}["a mistake of ours"]


@pytest.fixture
def broken(monkeypatch):
    """A mistake of ours in the middle of the model's forward."""
    monkeypatch.setitem(kernels.TEMPORARIES, torch.ops.aten.mm.default, ours)


def test_a_mistake_of_ours_is_raised_as_it_is_from_every_entry(broken, tmp_path):
    card = find_gpu("T4")
    path = tmp_path / "config.json"
    path.write_text(json.dumps(small()))
    for ask in (
        lambda: finetune(small(), gpu="T4", method="lora", seq_len=64),
        lambda: finetune(small(12), gpu="T4", method="lora", seq_len=64),
        lambda: simulate_generate(str(path), gpu=card, prompt_len=16, max_new_tokens=4),
        lambda: plan("m", small(), settings_of(), card),
        lambda: fit_table("m", small(), "float32", gpus=["T4"], seq_len=64),
    ):
        for _ in range(2):
            with pytest.raises(KeyError, match="a mistake of ours"):
                ask()
    assert not list((store_folder() / answers.KIND).glob("*"))


@pytest.mark.parametrize("name", ["_shapes", "sdpa", "_growing"])
def test_wherever_it_is(name, monkeypatch):
    """In the tracer, in a replaced operator, while the cache is read."""
    if name == "_shapes":
        monkeypatch.setattr("inspector.simulate.tracing.shape_memory._kind", ours)
        monkeypatch.setattr("inspector.simulate.tracing.tracer.shape_memory", ShapeMemory)
    elif name == "sdpa":
        monkeypatch.setattr(attention, "choose", ours)
    else:
        monkeypatch.setattr(decoding_loop, "read_layers", ours)
    with pytest.raises(KeyError, match="a mistake of ours"):
        trace_generate(small(), GenerateSettings(prompt_len=8, max_new_tokens=3).setup, (8, 0), 108)


def test_also_where_the_libraries_errors_are_read(monkeypatch):
    monkeypatch.setattr(adapters, "_wrapped", lambda *_: int("a mistake of ours"))
    with pytest.raises(ValueError, match="a mistake of ours") as caught:
        trace_finetune(small(), setup_of(), (8, 0), 108)
    assert not isinstance(caught.value, InspectorError)


def after(number, function):
    """A function that works so many times, and then breaks."""
    left = [number]

    def call(*args, **kwargs):
        left[0] -= 1
        return function(*args, **kwargs) if left[0] >= 0 else ours()

    return call


def test_no_search_takes_it_for_too_large(monkeypatch, tmp_path):
    from inspector.fit import simulator
    from inspector.simulate.repeated_layers import extrapolated_trace

    settings, card = settings_of(method="full", batch_size=4, seq_len=256), card_of_size("600MiB")
    monkeypatch.setattr(simulator, "peaks_on", after(1, simulator.peaks_on))
    with pytest.raises(KeyError, match="a mistake of ours"):
        largest_settings(Simulator(small(), card), settings)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(small()))
    monkeypatch.setattr(extrapolated_trace, "trace_generate", after(1, trace_generate))
    with pytest.raises(KeyError, match="a mistake of ours"):
        generate_with_longest_prompt(str(path), gpu=card, prompt_len=16, max_new_tokens=2)


@pytest.mark.parametrize(
    ("model_type", "method"),
    [("jetmoe", "lora"), ("git", "lora"), ("reformer", "lora"), ("mamba", "qlora")],
)  # fmt: skip
def test_a_family_that_does_not_train_on_shapes_is_one_line(model_type, method):
    """No data, an in-place operator on a leaf, dtypes that do not match, no graph of the loss."""
    with pytest.raises(CannotSimulateError, match=r"does not run on token ids|no loss"):
        trace_finetune(small_config(model_type), setup_of(dtype="bfloat16", method=method), (8, 0), 108)


@pytest.mark.parametrize("model_type", ["xmod", "blt"])
def test_a_family_that_does_not_generate_on_shapes_is_one_line(model_type):
    with pytest.raises(CannotSimulateError, match="does not generate without data"):
        trace_generate(small_config(model_type), GenerateSettings(prompt_len=40, max_new_tokens=4).setup, (8, 0), 108)


@pytest.mark.parametrize("how", [{"attention": "eager"}, {}, {"method": "qlora"}])
def test_heads_that_do_not_divide_are_the_config_s(how):
    """Attention fails in the model's frame, in PyTorch's own or in the operator that stands for it."""
    with pytest.raises(CannotSimulateError, match="is 4, no multiple of num_key_value_heads, which is 3"):
        trace_finetune(small(num_attention_heads=4, num_key_value_heads=3), setup_of(**how), (8, 0), 108)


def test_what_cannot_be_simulated_is_left_out_of_a_search():
    config = small(
        model_type="gpt2", architectures=["GPT2LMHeadModel"], n_embd=64, n_layer=2, n_head=4, n_positions=128
    )
    found = dict(largest_settings(Simulator(config, find_gpu("T4")), settings_of()))
    assert found["seq_len"] == 128
    with pytest.raises(CannotSimulateError, match="128 learned positions"):
        finetune(config, method="lora", seq_len=256)
    assert not [path for path in (store_folder() / answers.KIND).glob("*") if b"positions" in path.read_bytes()]


def test_what_peft_refuses_is_no_fault_of_ours():
    with pytest.raises(CannotSimulateError, match="match nothing"):
        trace_finetune(small(), setup_of(target_modules=("nowhere",)), (8, 0), 108)
    with pytest.raises(InspectorError, match="PEFT refuses this config"):
        trace_finetune(small(), setup_of(peft_config={"peft_type": "NONE"}), (8, 0), 108)


def test_settings_that_exclude_each_other_are_told_apart():
    with pytest.raises(ContradictionError):
        resolve_setup(method="lora", scheme="nf4")
    assert not issubclass(ContradictionError, CannotSimulateError)


def test_no_search_catches_more_than_what_cannot_be_simulated():
    caught = {
        f"{path.name}: {ast.unparse(node.type) if node.type else 'everything'}"
        for path in Path(fit.__path__[0]).glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ExceptHandler)
    }
    assert caught == {
        "helping.py: (CannotSimulateError, ContradictionError)",
        "largest.py: CannotSimulateError",
        "serving_table.py: InspectorError",  # an engine that refuses a card answers, and its words stand in the cell
        "table.py: (CannotSimulateError, ContradictionError)",
        "ways_table.py: (CannotSimulateError, ContradictionError, LibraryError)",
    }
