"""Quantization in the hand: rungs, bits and values are those of the libraries, and so is each error."""

import json

import pytest

from inspector.lesson.rungs import RUNGS, SCHEMES, kept, rungs

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("scheme", ["nf4", "fp4"])
def test_rungs_bits_and_values_are_those_of_bitsandbytes(scheme):
    import bitsandbytes.functional as bnb
    import torch

    block, levels = rungs().block, rungs().of(scheme)
    assert bnb.get_4bit_type(scheme, device="cpu").tolist() == list(levels)
    weights = torch.tensor(block.weights)
    packed, state = bnb.quantize_4bit(weights, blocksize=64, quant_type=scheme)
    ours = [kept(weight, block.scale, levels) for weight in block.weights]
    assert state.absmax.tolist() == [block.scale]
    bits = [each for pair in packed.flatten().tolist() for each in (pair >> 4, pair & 15)]
    # Zero has two codes in fp4, and which of them a weight gets says nothing about it.
    assert [levels[code] for code in bits] == [one.rung for one in ours]
    if scheme == "nf4":
        assert bits == [one.code for one in ours]
    assert bnb.dequantize_4bit(packed, state).flatten().tolist() == pytest.approx([one.back for one in ours], abs=1e-7)


def test_int4_has_the_even_steps_of_llama_cpp():
    import numpy as np
    from gguf import GGMLQuantizationType, dequantize

    # One block of Q4_0 with scale 1/8 in float16, and every code twice: low halves first, then the high ones.
    codes = bytes(code | code << 4 for code in range(16))
    raw = np.frombuffer(np.float16(1 / 8).tobytes() + codes, dtype=np.uint8)
    assert dequantize(raw, GGMLQuantizationType.Q4_0).tolist() == [*rungs().of("int4")] * 2


def test_the_scale_kept_twice_is_that_of_a_whole_tensor_and_close():
    block = rungs().block
    assert block.scale == max(map(abs, block.weights))
    assert block.scale in block.in_the_hand
    assert 0 < abs(block.scale_twice - block.scale) / block.scale < 0.01


def test_errors_by_block_size_are_made_again():
    import torch

    errors = rungs().errors
    weights = torch.randn(errors.weights, generator=torch.Generator().manual_seed(errors.seed))[:65536]
    import bitsandbytes.functional as bnb

    for scheme in SCHEMES:
        line = dict(errors.schemes)[scheme]
        assert list(line) == sorted(line)
    for size in (64, 4096):
        packed, state = bnb.quantize_4bit(weights, blocksize=size, quant_type="nf4")
        again = float((bnb.dequantize_4bit(packed, state) - weights).norm() / weights.norm())
        # A sixteenth of the weights: half a percent of the error is what so few more or less change.
        assert again == pytest.approx(errors.of("nf4", size), rel=0.01)


def test_what_is_kept_of_the_model_says_whose_it_is():
    said = json.loads(RUNGS.read_text())["block"]
    assert (said["licence"], said["file"]) == ("Apache-2.0", "SmolLM2-135M-Instruct.Q4_1.gguf")
    assert len(said["weights"]) == 64
