"""Real CPU training steps of classifiers, encoder-decoders and speech, byte for byte, on the inputs we make."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from inspector.architecture import build_config, build_model, model_class
from inspector.simulate.program import global_attention, transcripts
from inspector.simulate.program.inputs import settle, training_inputs
from inspector.simulate.setup.training import BatchSetup
from tests.simulate.cpu_sizes import SMALLEST, levels, profiled_sizes, traced_sizes
from tests.simulate.tasks import BART, BERT, LED, LONGFORMER, T5, WAV2VEC2, WHISPER, XLNET, named

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # libraries warn about tiny models

BATCH = BatchSetup(size=2, seq_len=48, target_len=16, padding_mask=True)
CASES = {
    "one label a sequence": named("BertForSequenceClassification", BERT),
    "several labels a sequence": named(
        "BertForSequenceClassification", BERT, problem_type="multi_label_classification"
    ),
    "a number a sequence": named("BertForSequenceClassification", BERT, num_labels=1),
    "a label a token": named("BertForTokenClassification", BERT),
    "spans": named("BertForQuestionAnswering", BERT),
    "masked tokens": named("BertForMaskedLM", BERT),
    "T5": named("T5ForConditionalGeneration", T5),
    "BART": named("BartForConditionalGeneration", BART),
    "Whisper": named("WhisperForConditionalGeneration", WHISPER),
}


def built(config):
    parsed = build_config(config)
    return model_class(parsed)(parsed)


def loop(config, build=built):
    """A full fine-tuning of two steps, and the tensors that are there before."""
    model = build(config)
    settle(model)
    model.train()
    batch = {
        # Ones are valid as a token, as a label and as a pixel.
        name: torch.ones(given.shape, dtype=given.dtype)
        for name, given in training_inputs(model, BATCH).items()
    }

    def run():
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
        for _ in range(2):
            optimizer.zero_grad()
            output = model(**batch)
            output.loss.backward()
            del output
            optimizer.step()

    return run, [*model.parameters(), *model.buffers(), *batch.values()]


def measured(config):
    return profiled_sizes(loop(config)[0])


def simulated(config):
    with torch.device("meta"):
        run, existing = loop(config)
    return traced_sizes(run, existing)


@pytest.mark.parametrize("name", CASES)
def test_peak_and_end_are_the_profilers(name):
    real, ours = measured(CASES[name]), simulated(CASES[name])
    assert levels(ours) == levels(real)
    assert sum(ours) == sum(real)


@pytest.mark.parametrize("name", ["one label a sequence", "masked tokens", "T5"])
def test_every_allocation_is_the_profilers(name):
    def made(sizes):
        return Counter(size for size in sizes if size >= SMALLEST)

    assert made(simulated(CASES[name])) == made(measured(CASES[name]))


@pytest.mark.parametrize("config", [
    named("LongformerForTokenClassification", LONGFORMER), named("LongformerForSequenceClassification", LONGFORMER),
    named("LEDForConditionalGeneration", LED), named("XLNetForSequenceClassification", XLNET),
], ids=lambda config: config["architectures"][0])  # fmt: skip
def test_windows_and_what_they_attend_to_at_all_are_the_profilers(config):
    real = measured(config)
    with torch.device("meta"):
        run, existing = loop(config, build_model)
        asking = build_model(config)
    ours = traced_sizes(run, existing, lambda tracer: global_attention.install(tracer, asking))
    assert levels(ours, SMALLEST) == levels(real, SMALLEST)


def transcribed():
    """The loss that transformers computes from a CTC head's logits, and its gradient."""
    from transformers.loss.loss_utils import LOSS_MAPPING

    logits = torch.zeros(3, 200, 320, requires_grad=True)
    # Neither padding nor the blank, and fewer than there are frames.
    labels, frames = torch.ones(3, 40, dtype=torch.int64), torch.full((3,), 200)

    def run():
        if labels.max() >= 320:
            raise ValueError
        LOSS_MAPPING["ForCTC"](logits, labels, frames, blank_token_id=0).backward()
        logits.grad = None

    return run, [logits, labels, frames]


def test_a_transcripts_loss_is_the_profilers():
    real = profiled_sizes(transcribed()[0])
    with torch.device("meta"):
        run, existing = transcribed()
        head = build_model(named("Wav2Vec2ForCTC", WAV2VEC2))
    ours = traced_sizes(run, existing, lambda tracer: transcripts.install(tracer, head, 40))
    assert Counter(size for size in ours if size >= SMALLEST) == Counter(size for size in real if size >= SMALLEST)
    assert levels(ours, SMALLEST) == levels(real, SMALLEST)
