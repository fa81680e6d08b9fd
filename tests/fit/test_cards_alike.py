"""Cards share a trace where they give the same answers, and only there; the order they are named in is all one.

The model has kernels that differ: grouped heads of 128, on cards with and without flash attention, cuDNN's, large and
small tiles of the memory-efficient backward; and in 4 bits, at few tokens, products that are fused on some cards.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import inspector.simulate
from inspector.fit import table
from inspector.gpus import catalogue, find_gpu
from inspector.simulate import finetuning
from inspector.simulate.allocator.settings import AllocatorSettings
from inspector.simulate.device.questions import Chip
from inspector.simulate.on_card import peaks_on
from inspector.simulate.program.training import trace_finetune
from inspector.simulate.setup.finetuning import resolve_setup

pytestmark = pytest.mark.filterwarnings("ignore")

CONFIG = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 2048, "intermediate_size": 2048,
    "num_hidden_layers": 1, "num_attention_heads": 16, "num_key_value_heads": 4, "vocab_size": 512,
    "dtype": "bfloat16", "max_position_embeddings": 65536,
}  # fmt: skip
PLAIN = CONFIG | {"num_key_value_heads": 4, "hidden_size": 512, "num_attention_heads": 4}
DEEP = CONFIG | {"num_hidden_layers": 12, "hidden_size": 512, "num_attention_heads": 4, "num_key_value_heads": 1}


@pytest.fixture
def figures(monkeypatch, tmp_path):
    """What a method takes on cards, simulated in the order they are named, with no answer kept from before."""
    runs = []
    # The very same step on the very same chip is traced once: which trace is taken for which card is the question.
    monkeypatch.setattr(finetuning, "trace", traced_once(finetuning.trace))

    def of(method, cards, seq_len, config=CONFIG):
        runs.append(method)
        monkeypatch.setenv("INSPECTOR_CACHE", str(tmp_path / str(len(runs))))
        monkeypatch.setattr(table, "METHODS", {method: METHODS[method]})
        cells = table.fit_table("m", config, "bfloat16", gpus=cards, seq_len=seq_len).cells
        return {cell.gpu.name: cell.peaks for cell in cells}

    return of


def traced_once(trace):
    made = {}

    def of(config, setup, card):
        asked = repr((config, setup, card.capability, card.multiprocessors))
        if asked not in made:
            made[asked] = trace(config, setup, card)
        return made[asked]

    return of


METHODS = dict(table.METHODS)


@pytest.mark.parametrize(
    ("method", "seq_len", "cards", "config"),
    [
        ("LoRA", 4096, ("H100-SXM", "RTX 5090"), CONFIG),
        ("LoRA", 16, ("H100-SXM", "RTX 5090"), CONFIG),
        ("QLoRA", 16, ("T4", "V100-16GB"), CONFIG),
        ("QLoRA", 16, ("T4", "V100-16GB"), DEEP),
    ],
    ids=["long", "short", "four bits", "extrapolated"],
)
def test_the_first_card_named_does_not_speak_for_the_second(figures, method, seq_len, cards, config):
    one, other = figures(method, cards, seq_len, config), figures(method, cards[::-1], seq_len, config)
    assert one == other
    for name in cards:
        assert figures(method, (name,), seq_len, config)[name] == one[name]


@pytest.mark.parametrize(("method", "seq_len"), [("QLoRA", 16), ("LoRA", 1024)])
def test_every_card_of_the_catalogue_in_any_order(figures, method, seq_len):
    names = [card.name for card in catalogue()]
    shuffled = sorted(names, key=lambda name: name[::-1])
    found = figures(method, names, seq_len)
    assert figures(method, names[::-1], seq_len) == figures(method, shuffled, seq_len) == found
    assert len({peaks.allocated for peaks in found.values()}) > 2
    for name in ("T4", "V100-16GB", "RTX 3060", "A100-80GB", "RTX 5090", "H100-SXM", "B200"):
        card = find_gpu(name)
        setup = resolve_setup(METHODS[method], seq_len=seq_len, dtype="bfloat16" if card.bf16 else "float16").setup
        own = trace_finetune(CONFIG, setup, card.capability, card.multiprocessors)
        assert found[name] == peaks_on(own.events, card, AllocatorSettings()), name


@pytest.mark.parametrize(
    "options", [{"method": "qlora", "seq_len": 16}, {"method": "lora", "padding_mask": True, "seq_len": 96}]
)
def test_same_answers_are_the_same_events_on_every_chip(options):
    """Of every group that answers alike the first two are traced anew: of another capability where there is one."""
    setup = resolve_setup(**options, dtype="float16").setup
    chips = sorted({(card.capability, card.multiprocessors) for card in catalogue()})
    groups = []
    for chip in chips:
        alike = [group for group in groups if Chip(*chip).answers_alike(group[0][1].questions)]
        assert len(alike) <= 1
        if not alike:
            groups.append([(chip, trace_finetune(PLAIN, setup, *chip))])
        elif chip[0] != alike[0][0][0][0] and len(alike[0]) == 1:
            alike[0].append((chip, trace_finetune(PLAIN, setup, *chip)))
    for group in groups:
        for _, trace in group:
            assert trace.questions == group[0][1].questions
            assert trace.events == group[0][1].events
    assert any(len(group) > 1 for group in groups)
    assert len({group[0][1].events for group in groups}) > 1


def test_nothing_asks_a_card_but_through_its_device():
    """Outside of the rules and of what names a card, no code of the simulation looks at what kernels are chosen by."""
    root = Path(inspector.simulate.__path__[0])
    looks = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        for line in path.read_text().splitlines()
        if re.search(r"capability(\[\d\])? (<|>|==|in) ?|(<|>|==) ?capability|capability\[", line)
    }
    rules = ("attention", "attention_kernels", "fp8", "kernels", "mxfp4", "packed_kernels", "torchao")
    # What a script asks of its card is answered there, and noted as a question (`Cuda.asked`).
    script = {"script/child/cuda_module.py", "script/child/cuda_objects.py"}
    assert looks <= {f"device/{name}.py" for name in rules} | script
