"""A model for every task either trains and generates on shapes or says in a line why not; a sample of what
`benchmarks/tasks.py` tries of every class that transformers has.
"""

from __future__ import annotations

import json

import pytest
import torch

from inspector.architecture import build_model
from inspector.errors import CannotSimulateError, InspectorError
from inspector.simulate import finetune
from inspector.simulate.device.kernels import cpu_kernels
from inspector.simulate.generation import simulate_generate
from inspector.simulate.program import routing
from inspector.simulate.program.inputs import training_inputs
from inspector.simulate.program.refusals import of_the_model
from inspector.simulate.setup.training import BatchSetup
from inspector.simulate.tracing.tracer import Tracer
from tests.simulate.small_models import classes_by_task, small_config
from tests.simulate.tasks import BERT, DIA, LED, LONGFORMER, MUSICGEN, SWITCH, WAV2VEC2, XLNET, named

pytestmark = pytest.mark.filterwarnings("ignore")

WORDS = {"method": "full", "batch_size": 2, "seq_len": 32, "steps": 1, "gradient_checkpointing": False}
SEAMLESS = {
    "model_type": "seamless_m4t", "hidden_size": 64, "vocab_size": 320, "encoder_layers": 2, "decoder_layers": 2,
    "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 96, "decoder_ffn_dim": 96,
    "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "decoder_start_token_id": 3,
}  # fmt: skip
ANSWERED = {
    "permuted": named("XLNetLMHeadModel", XLNET),
    "windows": named("LEDForConditionalGeneration", LED),
    "one expert a token": named("SwitchTransformersForConditionalGeneration", SWITCH),
    "languages": named("SeamlessM4TForTextToText", SEAMLESS),
}


@pytest.mark.parametrize("name", ANSWERED)
def test_it_trains_and_generates(name, tmp_path):
    config = ANSWERED[name]
    (tmp_path / "config.json").write_text(json.dumps(config))
    report = simulate_generate(str(tmp_path), prompt_len=32, max_new_tokens=4)
    assert 0 < report.weights_bytes < report.prefill.peak_allocated
    assert finetune(config, **WORDS).fits
    said = " ".join(report.assumptions)
    assert ("the making is not simulated" in said) == (name == "languages")
    assert ("no token has global attention" in said) == (name == "windows")


def test_of_one_choice_a_token_an_expert_gets_its_share():
    tracer = Tracer(cpu_kernels())
    routing.install(tracer, SWITCH, "balanced")
    with tracer:
        rows = torch.where(torch.empty((1, 40), dtype=torch.bool, device="meta"))[1].shape[0]
    assert rows == 40 // SWITCH["num_experts"]


def test_labels_are_what_a_loss_takes():
    heard = {"num_hidden_layers": 1, **WAV2VEC2}
    for head, shape in (("AudioFrameClassification", (2, 31, 2)), ("XVector", (2,))):
        given = training_inputs(build_model(named(f"Wav2Vec2For{head}", heard)), BatchSetup(size=2, seq_len=32))
        assert given["labels"].shape == shape


@pytest.mark.parametrize(
    ("config", "shapes"),
    [
        (named("MusicgenForConditionalGeneration", MUSICGEN), {"labels": (2, 16, 3)}),
        (
            named("DiaForConditionalGeneration", DIA),
            {"labels": (6, 16), "decoder_input_ids": (2, 16, 3), "decoder_attention_mask": (2, 16)},
        ),
    ],
    ids=["musicgen", "dia"],
)
def test_codes_of_sound_are_told_as_their_processors_make_them(config, shapes):
    report = finetune(config, **WORDS, target_len=16)
    given = training_inputs(build_model(config), BatchSetup(size=2, seq_len=32, target_len=16))
    assert {name: given[name].shape for name in given if name != "input_ids"} == shapes
    assert report.fits


LINES = {
    "SpeechT5ForTextToSpeech": ("train", "trains on spectrograms, whose loss looks at their values for padding"),
    "MusicgenForConditionalGeneration": ("generate", "a loop of its own, with audio_encoder, which is not simulated"),
    "BarkModel": (
        "train",
        "BarkModel has no forward: it keeps semantic, coarse_acoustics, fine_acoustics, codec_model",
    ),
    "Blip2ForImageTextRetrieval": ("train", "it stops at `attention_mask = attention_mask[:, self.config"),
    "XmodForMaskedLM": ("train", "looks at the values of a tensor at `lang_hidden_states = hidden_states[lang_mask]`"),
}


@pytest.mark.parametrize("name", LINES)
def test_or_a_line_says_why_not(name, tmp_path):
    kind = next(kind for _, kind, cls in classes_by_task() if cls == name)
    (tmp_path / "config.json").write_text(json.dumps(small_config(kind, name)))
    program, said = LINES[name]
    ask = {
        "generate": lambda: simulate_generate(str(tmp_path), prompt_len=32, max_new_tokens=4),
        "train": lambda: finetune(str(tmp_path), **WORDS),
    }[program]
    with pytest.raises(InspectorError) as caught:
        ask()
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_else_cannot_be_is_told_by_what_it_lacks():
    for config, said in (
        (named("LongformerForQuestionAnswering", LONGFORMER), "every token of a question global attention"),
        (named("BertModel", BERT), "BertModel returns no loss.*such as BertForMaskedLM"),
    ):
        with pytest.raises(CannotSimulateError, match=said):
            finetune(config, **WORDS)


def test_a_bare_error_of_a_models_code_is_told_with_its_line():
    from transformers.pytorch_utils import prune_linear_layer

    with (
        pytest.raises(
            CannotSimulateError, match=r"'NoneType' object has no attribute.*it stops at `.*pytorch_utils.py\)"
        ),
        of_the_model("this does not run"),
    ):
        prune_linear_layer(None, None)
