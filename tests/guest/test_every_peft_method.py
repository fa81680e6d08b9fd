"""What PEFT adds or makes trainable counts as adapters: bytes, gradients and optimizer state as PEFT counts them."""

from __future__ import annotations

import re
import sys

import pytest
import torch
from peft import PeftType, get_peft_config, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from inspector.architecture.quiet import quiet
from inspector.errors import InspectorError
from inspector.memory_kinds import MemoryKind
from inspector.simulate.events import Alloc, Free
from inspector.simulate.program.training import trace_finetune
from inspector.simulate.setup.finetuning import resolve_setup

SIZES = {
    "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 1, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 128,
}  # fmt: skip
CONFIG = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "dtype": "float32", **SIZES}
FIELDS = {
    "PROMPT_TUNING": {"num_virtual_tokens": 4},
    "P_TUNING": {"num_virtual_tokens": 4, "encoder_hidden_size": 32},
    "PREFIX_TUNING": {"num_virtual_tokens": 4},
    "CARTRIDGE": {"num_virtual_tokens": 4},
    "ADALORA": {"total_step": 100},
    "BOFT": {"boft_block_size": 4},
    "OFT": {"oft_block_size": 4},
    "ADAPTION_PROMPT": {"adapter_len": 4, "adapter_layers": 1},
    "FOURIERFT": {"n_frequency": 10},
    "C3A": {"block_size": 16},
    "TRAINABLE_TOKENS": {"token_indices": [1, 2, 3], "target_modules": ["embed_tokens"]},
    "LORA": {"modules_to_save": ["lm_head"], "rank_pattern": {"q_proj": 4}},
    "ROAD": {"group_size": 8},
}
NO_STEP = {
    "MULTITASK_PROMPT_TUNING": "asks for task ids", "POLY": "asks for task ids", "ADAMSS": "needs scikit-learn",
    "XLORA": "has a test of its own", "SHIRA": "looks where its mask is",
    "FROD": "looks at weights", "TINYLORA": "looks at weights", "VBLORA": "looks at weights",
    "WAVEFT": "looks where its frequencies are", "CPT": "looks at tokens", "SHADOW": "has a test of its own",
}  # fmt: skip
"""Methods that have no step on shapes, or none on such a model, or are tested below."""

ON_THE_CPU = {"BOFT"}
"""Its permutation is a buffer that PEFT leaves on the CPU (peft/tuners/boft/layer.py): no memory of the card."""

SCRATCH = {"OSF", "PSOFT"}
"""They keep the decomposed weight whole behind what they name."""


def counted_by_peft(fields):
    """Bytes of what is trained, of what PEFT adds and freezes, and of the gradients, with real tensors."""
    with quiet():
        base = LlamaForCausalLM(LlamaConfig(**SIZES))
        theirs = {id(tensor): tensor for tensor in (*base.parameters(), *base.buffers())}
        model = get_peft_model(base, get_peft_config(dict(fields)))
        trained = [each for each in model.parameters() if each.requires_grad]
        assert sum(each.numel() for each in trained) == model.get_nb_trainable_parameters()[0]
        added = {each.untyped_storage()._cdata: each for each in (*model.parameters(), *model.buffers())
                 if id(each) not in theirs and not each.requires_grad}  # fmt: skip
    return sum(each.nbytes for each in trained), sum(each.untyped_storage().nbytes() for each in added.values())


def alive_at_the_end(setup):
    alive = {}
    for event in trace_finetune(CONFIG, setup, (8, 0), 108).events:
        if isinstance(event, Alloc):
            alive[event.block] = event
        elif isinstance(event, Free):
            del alive[event.block]
    kinds = dict.fromkeys(MemoryKind, 0)
    for event in alive.values():
        kinds[event.kind] += event.nbytes
    return kinds


@pytest.fixture(scope="module")
def base_bytes():
    with quiet():
        return sum(each.nbytes for each in LlamaForCausalLM(LlamaConfig(**SIZES)).parameters())


@pytest.mark.parametrize("method", sorted({each.value for each in PeftType} - NO_STEP.keys()))
def test_adapters_are_what_peft_added_or_made_trainable(method, base_bytes):
    fields = {"peft_type": method, "task_type": "CAUSAL_LM", **FIELDS.get(method, {})}
    trained, frozen = counted_by_peft(fields)
    setup = resolve_setup(method="lora", seq_len=16, gradient_checkpointing=False, peft_config=fields).setup
    found = alive_at_the_end(setup)
    assert found[MemoryKind.BASE_WEIGHTS] == base_bytes
    if method in SCRATCH:
        assert found[MemoryKind.ADAPTERS] >= trained + frozen
    else:
        assert found[MemoryKind.ADAPTERS] == trained + (0 if method in ON_THE_CPU else frozen)
    moved = frozen if method == "ADALORA" else 0  # its rank, moved to the card, is a parameter with a gradient
    assert found[MemoryKind.OPTIMIZER_STATE] == 2 * (trained + moved)
    views = frozen if method == "CARTRIDGE" else 0  # the gradient is a part of one of the frozen tokens as well
    assert found[MemoryKind.GRADIENTS] == trained + moved + views


def test_every_saved_adapter_of_an_x_lora_is_on_the_card(tmp_path):
    """On meta PEFT moves the first alone (``_move_adapter_to_device_of_base_layer``, peft/tuners/tuners_utils.py)."""
    saved = {str(number): str(tmp_path / str(number)) for number in range(3)}
    lora = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 4}
    with quiet():
        for path in saved.values():
            get_peft_model(LlamaForCausalLM(LlamaConfig(**SIZES)), get_peft_config(dict(lora))).save_pretrained(path)
    fields = {"peft_type": "XLORA", "task_type": "CAUSAL_LM", "adapters": saved, "hidden_size": 64, "xlora_depth": 1}
    setup = resolve_setup(
        method="lora", seq_len=16, gradient_checkpointing=False, use_cache=False, peft_config=fields
    ).setup
    found = alive_at_the_end(setup)
    experts = 3 * 4 * (4 * (64 + 64) + 4 * (64 + 32))
    classifier = 4 * (64 * 3 + 3)
    assert found[MemoryKind.ADAPTERS] == experts + classifier
    assert found[MemoryKind.GRADIENTS] == classifier
    assert found[MemoryKind.OPTIMIZER_STATE] == 2 * classifier


def test_what_a_shadow_network_trains():
    """It is a small copy of the model beside it; a part of what it makes trainable gets no gradient."""
    fields = {"peft_type": "SHADOW", "task_type": "CAUSAL_LM"}
    trained, frozen = counted_by_peft(fields)
    with quiet():
        real = get_peft_model(LlamaForCausalLM(LlamaConfig(**SIZES)), get_peft_config(dict(fields))).train()
        ids = torch.zeros((1, 16), dtype=torch.long)
        real(input_ids=ids, labels=ids).loss.backward()
    gradients = sum(each.grad.nbytes for each in real.parameters() if each.grad is not None)
    assert gradients < trained
    found = alive_at_the_end(
        resolve_setup(method="lora", seq_len=16, gradient_checkpointing=False, peft_config=fields).setup
    )
    assert found[MemoryKind.ADAPTERS] == trained + frozen
    assert (found[MemoryKind.GRADIENTS], found[MemoryKind.OPTIMIZER_STATE]) == (gradients, 2 * gradients)


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("POLY", "POLY asks which task each sample is of (task_ids), and token ids do not say it"),
        ("MULTITASK_PROMPT_TUNING", "MULTITASK_PROMPT_TUNING asks which task each sample is of"),
        ("ADAMSS", "PEFT refuses this config: scikit-learn is required for AdaMSS"),
    ],
)
def test_what_a_method_needs_more_is_one_line(method, said, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)  # as where it is not installed
    fields = {"peft_type": method, "task_type": "CAUSAL_LM"}
    setup = resolve_setup(method="lora", seq_len=16, peft_config=fields).setup
    with pytest.raises(InspectorError, match=re.escape(said)):
        trace_finetune(CONFIG, setup, (8, 0), 108)


def test_adapters_of_a_4_bit_model_are_lora_s_and_dora_s():
    for use_dora in (False, True):
        setup = resolve_setup(method="qlora", seq_len=16, gradient_checkpointing=False, use_dora=use_dora).setup
        found = alive_at_the_end(setup)
        rank, width, kv = 8, 64, 32
        lora = rank * (width + width) + rank * (width + kv)
        dora = (width + kv) if use_dora else 0
        assert found[MemoryKind.ADAPTERS] == 4 * (lora + dora)
        assert found[MemoryKind.GRADIENTS] == 4 * (lora + dora)


def test_what_is_made_trainable_of_the_base_model_is_an_adapter():
    """``bias="all"`` of LoRA trains the biases the model had: they are as PEFT counts them."""
    config = {**CONFIG, "model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"]}
    fields = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "bias": "all", "target_modules": ["o_proj"]}
    setup = resolve_setup(method="lora", seq_len=16, gradient_checkpointing=False, peft_config=fields).setup
    events = trace_finetune(config, setup, (8, 0), 108).events
    adapters = sum(each.nbytes for each in events if isinstance(each, Alloc) and each.kind is MemoryKind.ADAPTERS)
    biases = 64 + 32 + 32
    assert adapters == 4 * (8 * (64 + 64) + biases)
