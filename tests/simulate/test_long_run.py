"""Runs of many lengths: what follows from a few traced ones is what tracing and replaying every step says."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from types import SimpleNamespace

import pytest

from inspector.errors import InspectorError
from inspector.simulate.allocator.settings import AllocatorSettings
from inspector.simulate.allocator.timeline import replay
from inspector.simulate.finetuning import question
from inspector.simulate.long_run.growing import growth
from inspector.simulate.long_run.order import Batches, padded, steps_of
from inspector.simulate.setup.lengths import parse_lengths, published
from inspector.units import MiB

CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64, "intermediate_size": 128,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 4000,
    "max_position_embeddings": 4096, "dtype": "float16",
}  # fmt: skip
ROOM = 8 * 2**30


class Setting:
    """Steps of two micro-batches of changing length, their padding masked: what was traced, and what is learned."""

    def __init__(self):
        from inspector.simulate.long_run.lengths_traced import TracedLengths

        drawn = random.Random(7)  # noqa: S311 -- lengths, no secrets
        # Of every alignment that a kernel asks for; more lengths than are all traced.
        self.steps = [(drawn.randrange(20, 900), 8 * drawn.randrange(3, 110)) for _ in range(22)]
        lengths = tuple(itertools.chain(*self.steps))
        asked = question(CONFIG, method="qlora", batch_size=2, seq_len=max(lengths), grad_accum=2, padded=True)
        self.setup, self.gpu = asked.resolved.setup, asked.gpu
        self.direct = self.trace(lengths)
        self.known = TracedLengths(self.trace, self.steps[0], lengths, 2)

    def trace(self, lengths):
        from inspector.simulate.program.training import trace_finetune

        batch = replace(self.setup.batch, lengths=lengths)
        loop = replace(self.setup.loop, steps=len(lengths) // 2)
        setup = replace(self.setup, batch=batch, loop=loop)
        return trace_finetune(CONFIG, setup, self.gpu.capability, self.gpu.multiprocessors).events

    def run(self, settings, capacity=ROOM, **more):
        from inspector.simulate.long_run.steps import Card

        return Card(self.known, settings, capacity).run(self.steps, **more)


@pytest.fixture(scope="module")
def setting():
    return Setting()


def by_step(timeline):
    """The highest bytes allocated and reserved in each step of a replay."""
    found = {}
    for stage in timeline.stages:
        if stage.step >= 0:
            before = found.get(stage.step, (0, 0))
            found[stage.step] = max(before[0], stage.peak_allocated), max(before[1], stage.peak_reserved)
    return list(found.values())


@pytest.mark.parametrize("expandable", [False, True])
def test_every_step_is_as_if_it_had_been_traced(setting, expandable):
    lengths = set(itertools.chain(*setting.steps))
    assert len(setting.known.traced) < len(lengths) - 5
    settings = AllocatorSettings(expandable_segments=expandable)
    run = setting.run(settings)
    assert run.stopped is None
    direct = by_step(replay(setting.direct, settings))
    assert list(zip(run.allocated, run.reserved, strict=True)) == direct


def test_it_stops_where_the_whole_trace_does(setting):
    free = setting.run(AllocatorSettings())
    # Below what is allocated at most, no giving back helps.
    room = free.peak_allocated - 8 * MiB
    whole = replay(setting.direct, capacity=room)
    run = setting.run(AllocatorSettings(), room)
    assert run.stopped.requested == whole.out_of_memory.requested
    assert (run.stopped.allocated, run.stopped.reserved) == (
        whole.out_of_memory.allocated, whole.out_of_memory.reserved,
    )  # fmt: skip
    assert run.stopped.step == whole.stages[-1].step == len(run.reserved)
    # With room for what is allocated and not for what is cached, it goes on by giving back.
    tight = setting.run(AllocatorSettings(), (free.peak_allocated + free.peak_reserved) // 2)
    assert tight.stopped is None
    assert tight.gave_back


def test_an_emptied_cache_keeps_reserved_near_what_is_allocated(setting):
    kept, emptied = setting.run(AllocatorSettings()), setting.run(AllocatorSettings(), empty_every=1)
    assert all(less <= more for less, more in zip(emptied.reserved, kept.reserved, strict=True))
    assert emptied.reserved[-1] < kept.reserved[-1]


def test_what_does_not_load_stops_before_the_first_step(setting):
    stopped = setting.run(AllocatorSettings(), 2 * MiB).stopped
    assert stopped.step == -1


@pytest.mark.parametrize(
    "rule",
    [
        lambda _: 512,
        lambda tokens: 96 * tokens + 40,
        lambda tokens: 6 * tokens * tokens,
        lambda tokens: 4 * -(-tokens // 32) * 32 + 7,
        lambda tokens: 2 * tokens * (-(-tokens // 8) * 8),
        lambda tokens: 3 * tokens * tokens + 5 * tokens + 11,
        lambda tokens: 36 * (-(-tokens // 128) * 128) ** 2,
        lambda tokens: 8 * (14 * tokens + 14 * tokens // 10),
    ],
)
def test_what_kernels_allocate_is_found_and_holds_elsewhere(rule):
    seen = [17, 96, 200, 333, 1000, 1023, 2048]
    found = growth(seen, [rule(tokens) for tokens in seen])
    assert all(found.at(tokens) == rule(tokens) for tokens in range(17, 2048, 13))


def test_what_follows_no_rule_is_not_guessed():
    assert growth([10, 20, 30, 40, 50, 60], [1, 5, 2, 9, 4, 4]) is None
    # Two numbers make a line, and say nothing.
    assert growth([10, 20], [100, 200]) is None


def test_the_order_is_the_samplers_own(tmp_path):
    import torch
    from transformers.trainer_pt_utils import get_length_grouped_indices

    known = [5 + 37 * number % 491 for number in range(64)]
    (tmp_path / "lengths.txt").write_text("\n".join(map(str, known)))
    lengths = parse_lengths(str(tmp_path / "lengths.txt"))
    batches = Batches(size=2, accumulated=2, longest=400, grouped=True, seed=5)
    steps = steps_of(lengths, batches, 20)
    cut = [min(length, 400) for length in known]
    generator = torch.Generator().manual_seed(5)
    first, second = (get_length_grouped_indices(cut, 4, generator=generator) for _ in range(2))
    order = [cut[at] for at in [*first, *second]]
    assert [step[0] for step in steps] == [max(order[at : at + 2]) for at in range(0, 80, 4)]
    # The longest comes first: whether it fits is known at once.
    assert max(steps[0]) == 400
    assert steps != steps_of(lengths, replace(batches, grouped=False), 20)
    with pytest.raises(InspectorError, match="64 samples do not fill a step of 80"):
        steps_of(lengths, replace(batches, size=40), 2)


def test_padding_keeps_to_the_limit():
    assert [padded(65, 64), padded(64, 64), padded(65, 64, 100), padded(7, 1)] == [128, 64, 100, 7]


@pytest.mark.parametrize("one", published(), ids=lambda one: one.name)
def test_a_known_data_set_is_spread_as_was_published(one):
    drawn = parse_lengths(one.name).sample(20_000, 3)
    assert one.source
    assert min(drawn) >= one.edges[0]
    assert max(drawn) <= one.edges[-1]
    total = below = 0
    for edge, count in zip(one.edges[1:], one.counts, strict=True):
        below += count
        total = sum(length <= edge for length in drawn)
        assert abs(total / 20_000 - below / sum(one.counts)) < 0.015, edge


def test_a_threshold_between_traced_lengths_is_found_by_halving():
    """Lengths of one alignment run the same operators up to some number of tokens: a few traces say up to which."""
    from inspector.simulate.long_run.chunks import Chunk, Shape
    from inspector.simulate.long_run.lengths_traced import ALL, TracedLengths

    class Known(TracedLengths):
        def _add(self, lengths):
            self.rounds = [*getattr(self, "rounds", []), len(lengths)]
            for place in self._places:
                for tokens in lengths:
                    shape = Shape(place, 1, (0 if tokens < 101 else 1,), (), ())
                    self._known[place, tokens] = Chunk(shape, (512 * tokens,))
            self._grown.clear()
            return SimpleNamespace(before=(), slots=0, steps=[()])

    known = Known(None, (60,), range(30, 430), 1)
    assert len(known.rounds) > 2
    assert sum(known.rounds) == len(known.traced) < 48 + 3 * ALL
    assert all(
        known.chunk(place, tokens).sizes == (512 * tokens,) for place in known._places for tokens in (99, 100, 101, 429)
    )
