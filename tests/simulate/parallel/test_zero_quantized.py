"""Stage 3 over weights of 4 and 8 bits, and with adapters: what the engine does, and what fails. Needs DeepSpeed.

Two gloo ranks with the real libraries (DeepSpeed 0.18, transformers 5.23, bitsandbytes 0.50 on the CPU) have the losses
of one process with 4- and 8-bit weights, refuse checkpointing without reentrance over frozen weights in the words
below, and fail over 4-bit weights stored as float32 in a bfloat16 engine.
"""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from inspector.errors import CannotSimulateError
from inspector.simulate.finetuning import question
from inspector.simulate.parallel.ranks import trace_ranks
from inspector.simulate.setup.parallel import changed, read
from tests.simulate.parallel.test_ranks import TINY

pytestmark = pytest.mark.skipif(find_spec("deepspeed") is None, reason="needs DeepSpeed")


def traced(words="zero3", *, storage="auto", **settings):
    its = question(TINY, **{"gpu": "A100-80GB", "seq_len": 32, "method": "qlora", "reentrant": True, **settings})
    setup = changed(read(words, 4), quant_storage=storage)
    (found,) = trace_ranks(its.config, its.resolved.setup, setup, its.gpu.capability, its.gpu.multiprocessors, [0])
    return found


@pytest.mark.parametrize("scheme", ["nf4", "int8"])
def test_weights_of_few_bits_are_cut_once_they_are_loaded(scheme):
    found = traced(scheme=scheme, prepare_kbit=False)
    units = {unit.name: unit for unit in found.units}
    gate = units["base_model.model.model.layers.0.mlp.gate_proj"]
    assert gate.cls == {"nf4": "Linear4bit", "int8": "Linear8bitLt"}[scheme]
    assert gate.whole_bytes == 64 * 192 // {"nf4": 2, "int8": 1}[scheme]
    assert gate.rank_bytes == gate.whole_bytes // 4
    # Each card reads the checkpoint itself: none of it is in the machine's memory.
    assert found.host_bytes < 64 * 1000 * 2


def test_the_engine_s_precision_is_that_of_weights_that_are_numbers():
    kept = [
        sum(unit.whole_bytes for unit in traced(storage=storage).units if unit.cls == "Embedding")
        for storage in ("auto", "bfloat16", "float32")
    ]
    # What `prepare_model_for_kbit_training` made float32 stays float32.
    assert kept == [1000 * 64 * 4] * 3


def test_packed_codes_that_the_engine_would_convert():
    with pytest.raises(CannotSimulateError, match=r"4-bit weights that are stored as torch.float32 to torch.bfloat16"):
        traced("zero2", storage="float32", autocast="bf16")
    assert traced(storage="bfloat16", autocast="bf16").units


@pytest.mark.parametrize("method", ["lora", "qlora"])
def test_frozen_weights_recomputed_without_reentrance(method):
    with pytest.raises(
        CannotSimulateError, match=r"^zero3 refuses: Recomputed values .* than during the forward pass"
    ) as it:
        traced(method=method, reentrant=False)
    assert "--reentrant" in it.value.hint
    assert traced(method=method, reentrant=False, gradient_checkpointing=False).units
