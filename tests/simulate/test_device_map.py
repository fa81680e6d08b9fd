"""A model over several cards: transformers' own map, tensors where PyTorch would have them, refusals in its words."""

from __future__ import annotations

import pytest
import torch

from inspector.errors import InspectorError
from inspector.simulate.allocator.timeline import replay
from inspector.simulate.program.decoding import trace_generate, trace_on_cards
from inspector.simulate.reports.of_card import events_of
from inspector.simulate.setup.device_map import DeviceMap, device_map
from inspector.simulate.setup.generation import generate_settings
from inspector.simulate.split_generation import generate_on_cards, together
from inspector.simulate.tracing.cards_tracer import CardsTracer
from tests.simulate.conftest import TINY

FREE = 2**34
CONFIGS = {
    "llama": TINY,
    "tied": {**TINY, "tie_word_embeddings": True},
    "sliding": {
        "architectures": ["Gemma3ForCausalLM"], "model_type": "gemma3_text", "hidden_size": 128, "head_dim": 32,
        "intermediate_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2,
        "vocab_size": 1000, "sliding_window": 32, "sliding_window_pattern": 2, "torch_dtype": "bfloat16",
    },
    "experts": {
        "architectures": ["MixtralForCausalLM"], "model_type": "mixtral", "hidden_size": 128, "intermediate_size": 128,
        "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 1000,
        "num_local_experts": 4, "torch_dtype": "bfloat16",
    },
}  # fmt: skip


def traced(config, asked, **options):
    setup = generate_settings(**{"prompt_len": 40, "max_new_tokens": 12, **options}).setup
    return trace_on_cards(config, setup, (8, 0), 108, asked, FREE), setup


def lines(found, cards):
    return [replay(events_of(found.trace.events, found.cards, card)) for card in range(cards)]


@pytest.mark.parametrize("name", CONFIGS)
def test_every_operator_finds_its_tensors_on_one_card(name, monkeypatch):
    """PyTorch refuses an operator with tensors on two cards: if our copies were not accelerate's, one would be."""
    seen, wrong = set(), []
    usual = CardsTracer.__torch_dispatch__

    def held(self, func, types, args=(), kwargs=None):
        given = torch.utils._pytree.tree_leaves((args, kwargs))
        cards = {self.card_of(t) for t in given if isinstance(t, torch.Tensor) and t.dim()} - {None}
        seen.update(cards)
        if len(cards) > 1 and self._forced is None:
            wrong.append((str(func), self.module, cards))
        return usual(self, func, types, args, kwargs)

    monkeypatch.setattr(CardsTracer, "__torch_dispatch__", held)
    found, _ = traced(CONFIGS[name], DeviceMap("auto", 2))
    assert wrong == []
    assert seen == {0, 1} == {found.placement.card(path) for path in found.placement.device_map}


def test_one_card_takes_what_it_takes_without_a_map():
    found, setup = traced(TINY, DeviceMap("auto", 1), via_cpu=False)
    (line,) = lines(found, 1)
    alone = replay(trace_generate(TINY, setup, (8, 0), 108).events)
    # Loaded on the card at once: the warm-up is the one difference to a model that is moved there.
    assert [stage.peak_allocated for stage in line.stages[1:]] == [stage.peak_allocated for stage in alone.stages[1:]]


def test_cards_add_up_to_the_model_and_its_cache():
    found, setup = traced(TINY, DeviceMap("balanced", 2))
    alone = trace_generate(TINY, setup, (8, 0), 108)
    whole, parts = replay(alone.events), lines(found, 2)
    assert sum(part.stages[0].end_allocated for part in parts) == whole.stages[0].end_allocated
    ends = [line.alive(events_of(found.trace.events, found.cards, card), len(line.allocated) - 1)
            for card, line in enumerate(parts)]  # fmt: skip
    kept = [sum(block.alloc.nbytes for block in end if block.alloc.kind == "cache") for end in ends]
    assert sum(kept) == alone.cache_bytes
    assert all(kept)


def test_what_stays_on_the_host_comes_for_each_forward():
    least = 4 * 2**20
    found, _ = traced(TINY, device_map(None, 2, f"0={9 * 2**20}B,1={least}B,cpu=1GiB"))
    assert found.placement.off_cards
    assert found.placement.missing > 0
    made = [event for event in events_of(found.trace.events, found.cards, 0) if getattr(event, "kind", "")]
    names = {event.module for event in made if event.kind == "base weights"}
    assert any(found.placement.where(name) == "cpu" for name in names)
    after = lines(found, 2)[0].stages
    assert after[0].end_allocated < sum(found.sizes.values())  # none of them stays


def test_a_quantized_map_on_the_host_is_refused_in_transformers_own_words():
    report = generate_on_cards("llama-3.2-1b", DeviceMap("auto", 2, ((0, 400 << 20), (1, 400 << 20))), bits=4)
    assert report.refused.startswith("Some modules are dispatched on the CPU or the disk. Make sure you have enough")
    assert report.verdict == "does not fit"
    assert report.disk_bytes > 0  # where max_memory is given and names no cpu, it has none
    enough = (400 << 20) + report.missing_bytes
    again = generate_on_cards("llama-3.2-1b", DeviceMap("auto", 2, ((0, enough), (1, enough))), bits=4, prompt_len=8,
                              max_new_tokens=2)  # fmt: skip
    assert not again.refused
    assert [card.peaks.fits for card in again.cards] == [True, True]


def test_what_is_typed():
    assert device_map(None, None) is None
    assert device_map("sequential", 2, "0=10GiB, cpu=60GB") == DeviceMap(
        "sequential", 2, ((0, 10 * 2**30), ("cpu", 60 * 10**9))
    )
    assert device_map(None, 2, {0: "1GiB", "disk": 5}) == DeviceMap("auto", 2, ((0, 2**30), ("disk", 5)))
    for wrong in (("nope", 2, None), ("auto", 0, None), ("auto", 2, "2=1GiB"), ("auto", 2, "gpu=1GiB"),
                  ("auto", 2, "0=1GiB,0=2GiB"), ("auto", 2, "0=lots")):  # fmt: skip
        with pytest.raises(InspectorError):
            device_map(*wrong)
    assert together(["h.0", "h.1", "x", "h.3"]) == ("h.0-1", "x", "h.3")


def test_the_main_card_is_the_first_that_holds_anything():
    found, _ = traced(TINY, device_map("sequential", 2, "0=1KiB,1=1GiB"))
    assert found.placement.main == 1
    first, second = lines(found, 2)
    assert first.peak_allocated == 0 < second.peak_allocated
