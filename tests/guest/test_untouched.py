"""Every entry point leaves every name, and all other state of the process, as it found it, however it ends."""

from __future__ import annotations

import threading

import pytest
import torch

from inspector.errors import CannotSimulateError, InspectorError
from inspector.gpus import find_gpu
from inspector.patched import PATCHES
from inspector.simulate import finetune
from inspector.simulate.generation import simulate_generate

pytestmark = pytest.mark.usefixtures("untouched")

TRAINING = {
    "qlora": {"method": "qlora", "double_quant": True, "optimizer": "paged_adamw_8bit"},
    "int8": {"method": "qlora", "scheme": "int8"},
    "autocast": {"method": "full", "autocast": "bf16", "optimizer": "adamw_torch_fused", "grad_clip": 1.0},
    "reentrant": {"method": "lora", "reentrant": True, "dropout": 0.1, "use_dora": True},
    "flash": {"method": "lora", "attention": "flash_attention_2", "gpu": "A100-80GB"},
}


@pytest.mark.parametrize("name", TRAINING)
def test_a_fine_tuning(name, tiny):
    finetune(tiny, seq_len=16, **{"gpu": "L4", **TRAINING[name]})


def test_a_layer_that_is_run_again_and_refuses(tiny, monkeypatch):
    def refused(*_):
        raise ValueError("no such layer")

    monkeypatch.setattr("transformers.models.llama.modeling_llama.LlamaMLP.forward", refused)
    # Whoever holds the error holds its frames.
    with pytest.raises(CannotSimulateError, match="no such layer") as held:
        finetune(tiny, method="full", seq_len=16, gpu="L4", gradient_checkpointing=True)
    assert torch._C._autograd._top_saved_tensors_default_hooks(True) is None
    assert held.tb


def test_a_fine_tuning_on_a_card_without_grouped_products_of_a_model_that_drops_layers():
    """OPT draws a number for each layer, from a generator that is not the caller's."""
    config = {
        "model_type": "opt", "architectures": ["OPTForCausalLM"], "hidden_size": 64, "ffn_dim": 64,
        "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 128, "word_embed_proj_dim": 64,
        "dtype": "float16", "max_position_embeddings": 64, "dropout": 0.1,
    }  # fmt: skip
    finetune(config, method="full", seq_len=16, gpu="T4")


DRAWING = """
import random

import numpy
from transformers import LlamaConfig, LlamaForCausalLM


def draw():
    return [random.random(), random.choice("abc"), random.gauss(0, 1), random.randbytes(2), random.sample(range(9), 2),
            *numpy.random.rand(2), numpy.random.normal(), numpy.random.permutation(3)[0]]


class OwnConfig(LlamaConfig):
    def __init__(self, **fields):
        draw()
        super().__init__(**fields)


class OwnForCausalLM(LlamaForCausalLM):
    config_class = OwnConfig

    def __init__(self, config):
        random.seed(5)
        numpy.random.seed(5)
        super().__init__(config)
        self.drawn = draw()

    def forward(self, *args, **kwargs):
        draw()
        state = random.getstate(), numpy.random.get_state()
        draw()
        random.setstate(state[0])
        numpy.random.set_state(state[1])
        return super().forward(*args, **kwargs)
"""


@pytest.fixture
def drawing(tmp_path, tiny):
    """A model whose own code draws from Python's and numpy's generators, as it is made and as it runs."""
    import json

    own = {"AutoConfig": "modeling_own.OwnConfig", "AutoModelForCausalLM": "modeling_own.OwnForCausalLM"}
    config = {**tiny, "model_type": "own", "architectures": ["OwnForCausalLM"], "auto_map": own}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "modeling_own.py").write_text(DRAWING)
    return str(tmp_path)


def test_a_model_whose_code_draws_from_python_and_numpy(drawing):
    import inspector

    model = inspector.load(drawing, trust_remote_code=True)
    model.finetune(method="full", seq_len=16, gpu="T4")
    model.generate(prompt_len=16, max_new_tokens=4, gpu="T4")


def test_who_draws_beside_a_dry_run_draws_as_alone():
    """And who took a function out of the module before draws with it as well."""
    import random
    from random import randint

    import numpy as np

    from inspector.architecture.own_random import own_random_numbers

    def draws():
        # What libraries share is meant here, not a generator that is good for secrets.
        few = random.random(), randint(0, 99), random.gauss(0, 1)  # noqa: S311
        return *few, random.shuffle([1, 2]), np.random.rand()  # noqa: NPY002

    def elsewhere(found):
        thread = threading.Thread(target=lambda: found.append(draws()))
        thread.start()
        thread.join()

    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        alone = [draws(), draws()]
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        beside: list[object] = []
        with own_random_numbers():
            ours = draws()
            elsewhere(beside)
            draws()
            elsewhere(beside)
        with own_random_numbers():
            assert draws() == ours  # every dry run draws alike
        assert beside == alone
        assert ours not in alone
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002


def test_a_generation(tmp_path, tiny):
    import json

    (tmp_path / "config.json").write_text(json.dumps(tiny))
    for cache in ("dynamic", "static"):
        simulate_generate(str(tmp_path), gpu=find_gpu("T4"), prompt_len=16, max_new_tokens=4, cache=cache)


def test_building_a_skeleton_and_a_config_it_refuses(tiny):
    from inspector.architecture import build_skeleton

    build_skeleton(tiny, model_id="m")
    with pytest.raises(InspectorError):
        build_skeleton({**tiny, "hidden_act": "no such function"}, model_id="m")


def test_a_plan_that_makes_it_fit(tiny):
    from inspector.fit.plan import plan
    from inspector.simulate.setup.finetuning import resolve_setup

    settings = resolve_setup(method="full", seq_len=16).settings
    plan("m", tiny, settings, find_gpu("T4"))


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("scheme", ["bf16", "nf4-dq", "int8"])
def test_a_prediction_of_a_measurement(tiny, device, scheme):
    from inspector.measure.predict import predicted_memory
    from inspector.measure.spec import MeasuredLora, MeasureSpec, StepSetup

    spec = MeasureSpec(scheme=scheme, device=device, lora=MeasuredLora(), step=StepSetup(seq_len=16))
    described = {"type": device, "capability": (8, 0), "multiprocessors": 108}
    predicted_memory(tiny, spec, described)


def test_a_step_traced_on_a_cpu():
    from inspector.simulate.tracing.on_cpu import trace_on_cpu

    layer = torch.nn.Linear(8, 8, device="meta")
    ids = torch.empty(2, 8, device="meta")

    def step():
        inner = torch.utils.checkpoint.checkpoint(lambda x: torch.nn.functional.dropout(layer(x)), ids.requires_grad_(),
                                                  use_reentrant=False)  # fmt: skip
        inner.sum().backward()

    trace_on_cpu(step, [*layer.parameters(), ids])


def test_a_look_at_the_machine():
    from inspector.measure.doctor import doctor

    doctor()


def test_a_model_that_has_no_step(tiny):
    with pytest.raises(CannotSimulateError):
        finetune({**tiny, "model_type": "bert", "architectures": ["BertModel"]}, method="full", seq_len=16)


@pytest.fixture
def broken(monkeypatch):
    """A kernel of ours that raises in the middle of a step."""
    from inspector.simulate.device import kernels

    def break_with(error):
        def breaks(*_args, **_kwargs):
            raise error

        monkeypatch.setitem(kernels.TEMPORARIES, torch.ops.aten.mm.default, breaks)

    return break_with


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), ZeroDivisionError("ours")], ids=lambda error: type(error).__name__
)
def test_an_interrupt_and_a_mistake_of_ours(broken, error, tiny):
    broken(error)
    with pytest.raises(type(error)):
        finetune(tiny, method="qlora", double_quant=True, autocast="bf16", seq_len=16, gpu="L4")


def test_an_interrupt_while_names_are_put_back(monkeypatch, tiny):
    from inspector.patched import replacing

    undo, interrupted = replacing._Made.undo, []

    def interrupt(made):
        if made.patch.name == "_can_use_grouped_mm" and not interrupted:
            interrupted.append(made)
            raise KeyboardInterrupt
        return undo(made)

    monkeypatch.setattr(replacing._Made, "undo", interrupt)
    with pytest.raises(KeyboardInterrupt):
        finetune(tiny, method="lora", seq_len=16, gpu="T4")
    assert interrupted


def test_threads(tiny):
    threads = [
        threading.Thread(target=finetune, args=(tiny,), kwargs={"method": method, "seq_len": 16, "gpu": gpu})
        for method, gpu in (("lora", "T4"), ("qlora", "L4"), ("full", "T4"))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_the_inventory_says_why_where_and_for_which_versions():
    from inspector.patched import TESTED

    for patch in PATCHES.values():
        assert patch.why
        assert patch.source
        assert TESTED[patch.library].startswith(">=")
