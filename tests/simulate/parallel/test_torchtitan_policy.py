"""torchtitan's op policy: of a layer that is recomputed attention's results and every other product's are kept."""

from __future__ import annotations

from tests.simulate.parallel.test_ranks import ranked


def test_less_than_all_and_more_than_nothing_is_kept():
    usual = {"gpus": 2, "seq_len": 4096, "loss": "full"}
    left = {
        name: ranked("fsdp2", gradient_checkpointing=on, parallel={"as_torchtitan": titan}, **usual)[1]
        for name, on, titan in (("all", False, False), ("some", True, True), ("none", True, False))
    }
    kept = {
        name: next(stage.end_allocated for stage in line.stages if (stage.stage, stage.step) == ("forward", 1))
        for name, line in left.items()
    }
    # Two layers' q, v, gate and down in bfloat16, and attention's answer with its float32 sums of four heads.
    of_one = 4096 * (2 * (64 + 32 + 192 + 64 + 64) + 4 * 4)
    last_layer = 2 * (2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 192 + 2 * 64)
    assert abs(kept["some"] - kept["none"] - 2 * of_one - last_layer) < 0.1 * of_one
    assert kept["some"] < kept["all"]
