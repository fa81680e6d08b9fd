"""A program that trains in one thread is not touched by dry runs in others, and those do not touch each other."""

from __future__ import annotations

import logging
import threading
import time
import warnings

import pytest
import torch

from inspector.gpus import find_gpu
from inspector.simulate import finetune
from inspector.simulate.generation import simulate_generate

pytestmark = pytest.mark.usefixtures("fresh_store")


def training(steps, ended=None):
    """Train a small model, and write down what could be touched: losses, modules, autocast, records, warnings."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Linear(16, 16), torch.nn.LayerNorm(16), torch.nn.Dropout(0.5), torch.nn.Linear(16, 1)
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, foreach=True)
    meta = torch.nn.Dropout(0.5).train()
    logger, said = logging.getLogger("transformers.beside"), Records()
    logger.addHandler(said)
    logger.propagate = False
    seen, losses = set(), []
    try:
        while len(losses) < steps or (ended is not None and not ended.is_set()):
            time.sleep(0.001)  # so that the dry runs come on
            ids = torch.rand(8, 16)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                inside = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")
                loss = torch.utils.checkpoint.checkpoint(model, ids, use_reentrant=False).float().square().mean()
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.item())
            fresh = torch.nn.LayerNorm(8)
            embedding = torch.nn.Linear(4, 4)
            logger.warning("step %d", len(losses))
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                warnings.warn("beside", UserWarning, stacklevel=1)
            dropped = meta(torch.empty(2, 3, device="meta", requires_grad=True))
            seen.add((
                tuple(fresh.weight.tolist()), fresh.weight.dtype, embedding.weight.dtype, torch.get_default_dtype(),
                bool(embedding.weight.abs().sum() > 0), inside, torch.is_autocast_enabled("cpu"), len(caught),
                type(dropped.grad_fn).__name__, logger.getEffectiveLevel(), logging.getLogger("bitsandbytes").level,
            ))  # fmt: skip
    finally:
        logger.removeHandler(said)
    assert len(said.messages) == len(losses)
    return losses, seen


class Records(logging.Handler):
    def __init__(self):
        super().__init__()
        self.messages = []

    def emit(self, record):
        self.messages.append(record.getMessage())


def layers(tiny, count):
    return {**tiny, "num_hidden_layers": count}


def test_training_beside_a_dry_run_is_training_alone(tiny):
    alone, usual = training(5)
    ended, found = threading.Event(), []
    beside = threading.Thread(target=lambda: found.append(training(5, ended)))
    beside.start()
    try:
        for method in ("qlora", "full"):
            finetune(tiny, method=method, autocast="bf16", optimizer="adamw_bnb_8bit", seq_len=16, gpu="L4")
        finetune(tiny, method="lora", seq_len=16, use_dora=True, dropout=0.1, gpu="T4")
    finally:
        ended.set()
        beside.join()
    ((losses, seen),) = found
    assert len(losses) > 5
    assert losses == training(len(losses))[0]
    assert losses[:5] == alone
    assert seen == usual


@pytest.mark.parametrize("count", [2, 8])
def test_dry_runs_in_threads_give_the_figures_of_one_after_another(tiny, tmp_path, count):
    import json

    (tmp_path / "config.json").write_text(json.dumps(tiny))

    def question(number):
        if number % 4 == 3:
            return simulate_generate(str(tmp_path), gpu=find_gpu("T4"), prompt_len=16 + number, max_new_tokens=3)
        method = ("lora", "qlora", "full")[number % 4]
        return finetune(layers(tiny, 2 + number % 3), method=method, seq_len=16, gpu=("T4", "L4")[number % 2],
                        keep_events=True)  # fmt: skip

    one_by_one = [question(number) for number in range(count)]
    found = {}
    threads = [
        threading.Thread(target=lambda number=number: found.update({number: question(number)}))
        for number in range(count)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found.get(number) for number in range(count)] == one_by_one
