"""What the known stacks set, and what of it costs memory. Sources are in `inspector.simulate.setup.recipes`."""

from __future__ import annotations

import pytest

from inspector.simulate import finetune
from inspector.simulate.setup.recipes import RECIPES, recipe

MiB = 2**20


def test_the_course_s_settings():
    """As its training notebook says, and as TRL 0.25.1, which it pins, adds."""
    lite, full = (recipe(name).settings for name in ("week7-lite", "week7-full"))
    for settings in (lite, full):
        assert settings["alpha"] == 2 * settings["r"]
        assert (settings["dropout"], settings["grad_clip"], settings["seq_len"]) == (0.1, 0.3, 128)
        assert (settings["scheme"], settings["double_quant"]) == ("nf4", True)
        assert settings["optimizer"] == "paged_adamw_32bit"
        assert settings["gradient_checkpointing"]
        assert settings["padding_mask"]
        assert settings.get("adapter_dtype", "float32") == "float32"
        assert settings.get("loss", "full") == "full"
        assert settings["token_accuracy"]
    assert (lite["r"], len(lite["target_modules"]), lite["batch_size"], lite["autocast"]) == (32, 4, 32, "fp16")
    assert (full["r"], len(full["target_modules"]), full["batch_size"], full["autocast"]) == (256, 7, 256, "bf16")


def test_every_recipe_says_where_it_is_from():
    assert all(item.source for item in RECIPES)


@pytest.fixture(scope="module")
def fine_tuned(tiny):
    def run(**options):
        return finetune(tiny, recipe="week7-lite", batch_size=4, target_modules=["q_proj"], **options)

    return run


def test_the_accuracy_copies_the_logits(fine_tuned):
    """The highest point of the forward pass is then the copy: float32 logits of every row but the last of a sample."""
    with_it, without = fine_tuned(), fine_tuned(token_accuracy=False)
    logits = 4 * 128 * 4000 * 4  # batch, tokens, vocabulary, bytes
    copy = 4 * 127 * 4000 * 4
    rise = with_it.stage_peak("forward").peak_allocated - without.stage_peak("forward").peak_allocated
    assert with_it.stage_peak("forward").end_allocated == without.stage_peak("forward").end_allocated
    assert 0 < rise <= copy
    held = with_it.stage_peak("forward").end_allocated  # what the loss keeps: log-probabilities
    assert with_it.stage_peak("forward").peak_allocated >= held + logits + copy


def test_trl_makes_no_logits(tiny):
    """Its fused head has one buffer of a tile, whatever the batch; the model's own loss has several logits."""

    def peak(loss, batch):
        report = finetune(
            {**tiny, "vocab_size": 128_256}, recipe="sft-trainer", loss=loss, batch_size=batch, seq_len=1024, gpu="L4"
        )
        return report.stage_peak("backward").peak_allocated

    tile = 4096 * 32768 * 2
    logits = 1024 * 128_256 * 4
    assert peak("full", 2) - peak("full", 1) > 2 * logits
    assert peak("trl", 16) - peak("trl", 8) < logits
    assert peak("trl", 8) > tile


def test_trl_s_head_gets_gradients_of_the_right_shape():
    import torch

    from inspector.simulate.program.loss import trl_loss

    hidden = torch.empty(2, 9, 16, dtype=torch.bfloat16, device="meta", requires_grad=True)
    weight = torch.empty(70_000, 16, dtype=torch.bfloat16, device="meta", requires_grad=True)
    loss = trl_loss(hidden, torch.empty(2, 9, dtype=torch.int64, device="meta"), weight)
    loss.backward()
    assert loss.shape == ()
    assert (hidden.grad.shape, hidden.grad.dtype) == (hidden.shape, hidden.dtype)
    assert (weight.grad.shape, weight.grad.dtype) == (weight.shape, weight.dtype)
