"""Every optimizer that transformers names: a step of the real one on shapes, or one line that says why not."""

from __future__ import annotations

import pytest
import torch

from inspector.errors import InspectorError
from inspector.memory_kinds import MemoryKind
from inspector.simulate.device.cuda import MULTI_TENSOR
from inspector.simulate.events import Alloc
from inspector.simulate.finetuning import finetune
from inspector.simulate.program import low_rank, optimizers
from inspector.simulate.program.training import trace_finetune
from inspector.simulate.setup.finetuning import resolve_setup
from inspector.simulate.setup.optimizer_names import optimizer_names

TINY = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 256, "intermediate_size": 256,
    "num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 4, "vocab_size": 320,
    "tie_word_embeddings": False, "torch_dtype": "bfloat16",
}  # fmt: skip
WEIGHTS = 2 * 320 * 256 + 4 * 256**2 + 3 * 256**2 + 3 * 256

STATE = {
    "adamw_torch": 2 * 2, "adamw_torch_fused": 2 * 2, "sgd": 0, "adagrad": 2, "rmsprop": 2, "lion_32bit": 4,
    "adamw_bnb_8bit": 2, "lion_8bit": 1, "ademamix": 3 * 4, "ademamix_8bit": 3, "rmsprop_bnb_32bit": 4,
}  # fmt: skip
"""Bytes a weight of bfloat16, 8 bits without scales: torch's moments are as the weight, bitsandbytes' float32."""


def state_of(name: str, **options: object) -> int:
    setup = resolve_setup(method="full", optimizer=name, seq_len=16, batch_size=1, steps=2, **options).setup
    events = trace_finetune(TINY, setup, (8, 0), 108).events
    return sum(item.nbytes for item in events if isinstance(item, Alloc) and item.kind is MemoryKind.OPTIMIZER_STATE)


@pytest.mark.parametrize("name", optimizer_names())
def test_an_optimizer_steps_or_says_in_a_line_why_not(name):
    refused = None
    try:
        state = state_of(name)
    except InspectorError as error:
        refused = error.message
    if refused is not None:
        assert name in refused
        assert "\n" not in refused
        assert name not in STATE
    elif name in STATE:
        assert STATE[name] * WEIGHTS <= state <= (STATE[name] + 0.1) * WEIGHTS, name


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("galore_adamw_8bit_layerwise", "waits for a card"),
        ("adalomo", "inside the backward"), ("grokadamw", "on the host"), ("stable_adamw", "Triton"),
        ("adamw_torch_4bit", "torchao"), ("lomo", "inside the backward"),
    ],
)  # fmt: skip
def test_a_step_without_a_dry_run_is_refused_whether_or_not_its_library_is_there(name, why):
    with pytest.raises(InspectorError, match=why):
        optimizers.make_optimizer(name, torch.nn.Linear(2, 2))


def test_a_step_that_wants_its_training_mode_has_it(monkeypatch):
    """As those of schedulefree, which refuse to step in any other."""

    class InModes(torch.optim.SGD):
        training = False

        def train(self):
            self.training = True

    monkeypatch.setattr(optimizers, "optimizer_class", lambda _name, _model: (InModes, {"lr": 0.1}))
    assert optimizers.make_optimizer("schedule_free_sgd", torch.nn.Linear(2, 2)).training


def test_a_setting_says_whose_optimizer_it_is():
    asked = {"method": "full", "dtype": "bfloat16", "optimizer": "adamw_8bit", "seq_len": 16, "gpu": "A10", "steps": 1}
    loop = finetune("EleutherAI/pythia-14m", **asked)
    trainer = finetune("EleutherAI/pythia-14m", **asked, optimizer_by="trainer")
    held = [{share.name: share.nbytes for share in each.alive_at_peak}["optimizer state"] for each in (loop, trainer)]
    # Two moments of 50,304 x 128 in 32 bits and not in 8, which have a scale for every 256.
    scales = 2 * 4 * 50304 * 128 // 256
    assert 0 <= 2 * 3 * 50304 * 128 - (held[1] - held[0]) <= scales + 4096
    assert any("--optimizer-by trainer" in line for line in loop.assumptions)
    assert not any("--optimizer-by trainer" in line for line in trainer.assumptions)


def test_eight_bits_leave_embeddings_out_in_the_trainer_and_no_model_behind():
    """Source: transformers/trainer.py, ``create_optimizer``: ``register_module_override``."""
    from bitsandbytes.optim import GlobalOptimManager

    model = torch.nn.Sequential(torch.nn.Embedding(128, 64), torch.nn.Linear(64, 128, bias=False))
    optimizer = optimizers.make_optimizer("adamw_8bit", model, of_trainer=True)
    for weight in model.parameters():
        weight.grad = torch.zeros_like(weight)
    optimizer.check_overrides()
    bits = {
        name: optimizer.get_config(group, place, optimizer.param_groups[group])["optim_bits"]
        for name, weight in model.named_parameters()
        for group, each in enumerate(optimizer.param_groups)
        for place, tensor in enumerate(each["params"])
        if tensor is weight
    }
    assert bits == {"0.weight": 32, "1.weight": 8}
    assert not GlobalOptimManager.get_instance().module_weight_config_triple


def test_an_optimizer_of_each_weight_is_made_as_trainer_makes_it(monkeypatch):
    """The handlers of GaLore and APOLLO give groups, and layer by layer an optimizer a weight behind a dummy."""
    from transformers.trainer_pt_utils import LayerWiseDummyOptimizer

    model = torch.nn.Linear(4, 2)
    each = {weight: torch.optim.Adam([weight]) for weight in model.parameters()}
    told = {"params": [{"params": list(each)}], "optimizer_dict": each, "lr": 0.1}
    monkeypatch.setattr(optimizers, "optimizer_class", lambda _name, _model: (LayerWiseDummyOptimizer, dict(told)))
    made = optimizers.make_optimizer("galore_adamw_layerwise", model)
    for weight, optimizer in each.items():
        weight.grad = torch.ones_like(weight)
        optimizer.step()
    assert [weight for weight, _ in low_rank.states(made)] == list(model.parameters())
    groups = [{"params": [model.weight], "weight_decay": 0.5}, {"params": [model.bias]}]
    monkeypatch.setattr(optimizers, "optimizer_class", lambda _name, _model: (torch.optim.AdamW, {"params": groups}))
    made = optimizers.make_optimizer("galore_adamw", model)
    assert [group["weight_decay"] for group in made.param_groups] == [0.5, 0.01]


@pytest.mark.parametrize(("side", "shape"), [("left", (6, 3)), ("right", (3, 4))])
def test_a_projection_is_drawn_without_a_generator_of_the_card(side, shape):
    """apollo_torch draws it from one, which is none for tensors without data."""

    class Projector:
        def get_orthogonal_matrix(self, *_):
            raise AssertionError

    class Apollo:
        def _initialize_projector(self, _group, _state):
            return Projector()

    optimizer = Apollo()
    low_rank.draw_by_hand(optimizer)
    gradient = torch.empty(6, 4, dtype=torch.bfloat16, device="meta")
    drawn = optimizer._initialize_projector({}, {}).get_orthogonal_matrix(gradient, 3, type=side, seed=1)
    assert (drawn.shape, drawn.dtype, drawn.device.type) == (torch.Size(shape), torch.bfloat16, "meta")


def test_weights_on_the_host_step_fused_as_torch_lets_them():
    """As FSDP offloads them; what is taken together by foreach stays on a card."""
    from torch.utils import _foreach_utils

    for name, named in MULTI_TENSOR.items():
        assert ("cpu" in named) == ("cpu" in getattr(_foreach_utils, name)())
