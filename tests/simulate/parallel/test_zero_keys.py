"""DeepSpeed's own keys decide: buckets, thresholds, offloading, optimizers, zero.Init. Needs DeepSpeed."""

from __future__ import annotations

import json
import threading
from importlib.util import find_spec

import pytest

from inspector.errors import InspectorError
from inspector.fit.ways import finetune_anywhere
from inspector.memory_kinds import MemoryKind
from inspector.simulate.parallel.zero_config import engine_config
from inspector.simulate.setup.parallel import changed, read
from inspector.simulate.setup.readers.filling import for_training, hidden_size
from tests.simulate.parallel.test_ranks import TINY, WEIGHTS, alive_at_end, asked, ranked

needs_deepspeed = pytest.mark.skipif(find_spec("deepspeed") is None, reason="needs DeepSpeed")


def said(stage=3, **zero):
    return {"deepspeed": json.dumps({"bf16": {"enabled": True}, "zero_optimization": {"stage": stage, **zero}})}


def test_what_a_file_leaves_to_the_trainer_is_filled_by_the_training():
    config = {
        "train_batch_size": "auto", "gradient_clipping": "auto", "bf16": {"enabled": "auto"},
        "optimizer": {"type": "AdamW", "params": {"lr": "auto"}},
        "zero_optimization": {"stage": 3, "reduce_bucket_size": "auto", "stage3_param_persistence_threshold": "auto"},
    }  # fmt: skip
    filled = json.loads(for_training(config, TINY, asked(batch_size=2).resolved.setup, 4))
    assert filled["train_batch_size"] == 8
    assert filled["bf16"] == {"enabled": True}
    assert filled["zero_optimization"] == {"stage": 3, "reduce_bucket_size": 64 * 64,
                                           "stage3_param_persistence_threshold": 640}  # fmt: skip
    engine = engine_config(changed(read("zero3", 4), deepspeed=json.dumps(filled)), 3, "", 2)
    assert engine["optimizer"] == {"type": "AdamW", "params": {}}
    assert engine["gradient_accumulation_steps"] == 2
    assert "train_batch_size" not in engine
    assert hidden_size({"text_config": {"hidden_sizes": [8, 16]}}) == 16
    with pytest.raises(InspectorError, match="neither `hidden_size`"):
        for_training(config, {}, asked().resolved.setup, 4)


def test_what_is_typed_goes_before_the_file_and_its_pinning_stays():
    file = {"zero_optimization": {"stage": 3, "offload_param": {"device": "nvme", "nvme_path": "/x"},
                                  "offload_optimizer": {"device": "cpu", "pin_memory": True}}}  # fmt: skip
    for offload, places in (("params", ("cpu", "cpu")), ("optimizer", ("none", "cpu")), ("none", ("none", "none"))):
        setup = changed(read("zero3", 2), offload=offload, deepspeed=json.dumps(file))
        zero = engine_config(setup, 3, "", 1)["zero_optimization"]
        assert (zero["offload_param"]["device"], zero["offload_optimizer"]["device"]) == places
        assert "nvme_path" not in zero["offload_param"]
    assert zero["offload_optimizer"] == {"device": "none"}


@needs_deepspeed
def test_buckets_are_as_large_as_the_file_says():
    small = ranked("zero2", parallel=said(2, contiguous_gradients=True, overlap_comm=False, reduce_bucket_size=100_000))
    large = ranked("zero2", parallel=said(2, contiguous_gradients=True, overlap_comm=False, reduce_bucket_size=800_000))
    # One bucket of the weights' two bytes.
    assert large[1].peak_allocated - small[1].peak_allocated == pytest.approx(2 * 700_000, rel=0.1)


@needs_deepspeed
def test_weights_below_the_threshold_stay_whole():
    none = ranked("zero3", parallel=said(stage3_param_persistence_threshold=0, reduce_bucket_size=100_000))
    some = ranked("zero3", parallel=said(stage3_param_persistence_threshold=10_000, reduce_bucket_size=100_000))
    assert some[1].stages[-1].end_allocated - none[1].stages[-1].end_allocated > 50_000
    # Rank 0 alone reads the checkpoint.
    other = ranked("zero3", rank=1, parallel=said(stage3_param_persistence_threshold=0, reduce_bucket_size=100_000))
    assert none[0].host_bytes - other[0].host_bytes >= WEIGHTS / 2


@needs_deepspeed
@pytest.mark.parametrize("optimizer", [{}, {"optimizer": {"type": "AdamW", "params": {}}}])
def test_state_on_the_host_is_stepped_there(optimizer):
    words = {"bf16": {"enabled": True}, "zero_optimization": {"stage": 3, "reduce_bucket_size": 100_000}, **optimizer}
    words["zero_optimization"]["offload_optimizer"] = {"device": "cpu", "pin_memory": True}
    traced, _ = ranked("zero3", parallel={"deepspeed": json.dumps(words), "offload": "optimizer"})
    assert alive_at_end(traced, MemoryKind.OPTIMIZER_STATE) == 0
    # Float32 masters, two states and gradients of a fourth.
    assert traced.host_bytes > 4 * 2 * WEIGHTS / 4


@needs_deepspeed
def test_a_program_that_has_deepspeed_itself_is_not_touched():
    import deepspeed
    from deepspeed.accelerator import real_accelerator
    from deepspeed.comm import comm

    before = {name: dict(vars(module)) for name, module in (("a", real_accelerator), ("c", comm))}
    seen = []
    stop = threading.Event()

    def watching():
        while not stop.is_set():
            seen.append((vars(comm).get("cdb"), vars(real_accelerator).get("ds_accelerator"), deepspeed.zero.Init))
            stop.wait(0.01)

    watcher = threading.Thread(target=watching)
    watcher.start()
    report = finetune_anywhere(dict(TINY), gpus=2, parallel="zero1", method="full", gpu="L4", seq_len=8)
    stop.set()
    watcher.join()
    assert report.ranks[0].peaks.allocated > WEIGHTS
    assert len(set(map(id, (each for row in seen for each in row)))) <= 3
    assert {name: dict(vars(module)) for name, module in (("a", real_accelerator), ("c", comm))} == before


@needs_deepspeed
@pytest.mark.parametrize("words", ["zero2", "zero3"])
def test_float16_steps_as_bfloat16_does(words):
    """A step that is skipped because something overflowed would leave Adam without its states."""
    kept = []
    for half in ("fp16", "bf16"):
        zero = {"stage": int(words[-1]), "reduce_bucket_size": 100_000}
        file = {half: {"enabled": True}, "zero_optimization": zero}
        traced, _ = ranked(
            words, dtype={"fp16": "float16", "bf16": "bfloat16"}[half], parallel={"deepspeed": json.dumps(file)}
        )
        kept.append(alive_at_end(traced, MemoryKind.OPTIMIZER_STATE))
    assert kept[0] == kept[1] > 2 * 2 * WEIGHTS / 4
