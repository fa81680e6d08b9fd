"""Configs that name no class get the one a user of that kind of model would load; those that name one get that."""

import json

import pytest
import torch
import transformers
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from inspector.architecture import build_config, build_skeleton, model_class
from inspector.architecture.facts import notes_on
from inspector.errors import InspectorError
from inspector.lenses.layers import layers
from inspector.lenses.memory import memory
from inspector.lora import lora
from inspector.precision import chosen_schemes
from inspector.sources.bundled import bundled_config, load_bundled, model_ids

CLASSES = {
    "llama": "LlamaForCausalLM", "qwen3_moe": "Qwen3MoeForCausalLM", "gpt_oss": "GptOssForCausalLM",
    "bert": "BertForMaskedLM", "modernbert": "ModernBertForMaskedLM", "t5": "T5ForConditionalGeneration",
    "bart": "BartForConditionalGeneration", "whisper": "WhisperForConditionalGeneration",
    "mistral3": "Mistral3ForConditionalGeneration", "gemma3": "Gemma3ForConditionalGeneration",
    "llama4": "Llama4ForConditionalGeneration", "qwen2_5_vl": "Qwen2_5_VLForConditionalGeneration", "vit": "ViTModel",
    "clip": "CLIPModel", "wav2vec2": "Wav2Vec2Model", "musicgen": "MusicgenForConditionalGeneration",
    "parakeet_ctc": "ParakeetForCTC", "depth_anything": "DepthAnythingForDepthEstimation",
    "superpoint": "SuperPointForKeypointDetection", "upernet": "UperNetForSemanticSegmentation",
    "qwen2_5_omni": "Qwen2_5OmniForConditionalGeneration", "clip_text_model": "CLIPTextModel",
    "siglip_vision_model": "SiglipVisionModel",
}  # fmt: skip


@pytest.mark.parametrize("model_type", CLASSES)
def test_the_right_class(model_type):
    assert model_class(CONFIG_MAPPING[model_type]()).__name__ == CLASSES[model_type]


SERIES = {"prediction_length": 24}
AUTO = {
    "AutoModelForCausalLM": (
        "llama",
        "gpt2",
        "mamba",
        "deepseek_v3",
        "qwen3_next",
        "gemma4_text",
        "bloom",
        "opt",
        "jamba",
    ),
    "AutoModelForMaskedLM": ("bert", "modernbert", "xlm-roberta"),
    "AutoModelForSeq2SeqLM": ("t5", "bart", "mbart"),
    "AutoModelForImageTextToText": ("llava", "qwen3_vl", "gemma3", "idefics3", "gemma4"),
    "AutoModelForMultimodalLM": ("qwen2_audio", "voxtral"),
    "AutoModelForSpeechSeq2Seq": ("whisper", "speech_to_text"),
    "AutoModelForCTC": ("wav2vec2", "hubert"),
    "AutoModelForAudioClassification": ("audio-spectrogram-transformer",),
    "AutoModelForImageClassification": ("vit", "swin", "resnet", "convnext"),
    "AutoModelForZeroShotImageClassification": ("siglip",),
    "AutoModelForTextToWaveform": ("musicgen", "vits"),
    "AutoModelForTextToSpectrogram": ("speecht5",),
    "AutoModelForTimeSeriesPrediction": ("timesfm", "timesfm2_5"),
    "AutoModelForDepthEstimation": ("dpt", "zoedepth"),
    "AutoModelForObjectDetection": ("yolos",),
    "AutoModelForSemanticSegmentation": ("segformer",),
    "AutoModelForSequenceClassification": ("roberta", "deberta-v2"),
    "AutoModelForTextEncoding": ("t5", "umt5"),
    "AutoModelForKeypointDetection": ("superpoint",),
    "AutoModel": ("clip", "dinov2", "encodec", "time_series_transformer", "sam", "blip-2"),
}


@pytest.mark.parametrize(("auto", "model_type"), [(auto, name) for auto, names in AUTO.items() for name in names])
def test_a_checkpoint_of_every_auto_class(auto, model_type):
    """A config as that Auto class's own models save it is that model, tensor for tensor, and every lens reads it."""
    config = CONFIG_MAPPING[model_type](**(SERIES if model_type == "time_series_transformer" else {}))
    with torch.device("meta"):
        model = getattr(transformers, auto).from_config(config)
    said = json.loads(json.dumps({**model.config.to_dict(), "architectures": [type(model).__name__]}, default=str))
    skeleton = build_skeleton(said, model_id=model_type)
    assert skeleton.architecture == type(model).__name__
    assert {tensor.name: tensor.shape for tensor in skeleton.parameters} == {
        name: tuple(parameter.shape) for name, parameter in model.named_parameters()
    }
    assert layers(skeleton).num_parameters == skeleton.num_parameters
    assert memory(skeleton, chosen_schemes()).schemes
    if model_type == "mamba":
        # Every target set has its out_proj, which PEFT refuses.
        with pytest.raises(InspectorError, match="incompatible with Mamba-based models"):
            lora(skeleton, (8,))
        return
    assert lora(skeleton, (8,)).rows or not any(module.base == "Linear" and module.layer for module in skeleton.modules)


@pytest.mark.slow
def test_every_bundled_config_without_its_class_is_of_that_class():
    for model in model_ids():
        named = bundled_config(model)["architectures"][0]
        config = {key: value for key, value in bundled_config(model).items() if key != "architectures"}
        assert model_class(build_config(config)).__name__ == named, model


def test_a_class_that_is_no_model_is_passed_over():
    config = CONFIG_MAPPING["llama"](architectures=["PreTrainedModel", "LlamaConfig", "os", "LlamaForCausalLM"])
    assert model_class(config).__name__ == "LlamaForCausalLM"


@pytest.mark.parametrize("name", ["LlamaPreTrainedModel", "BartPretrainedModel", "PretrainedBartModel"])
def test_the_base_of_a_family_is_no_model(name):
    config = CONFIG_MAPPING["llama" if "Llama" in name else "bart"](architectures=[name])
    assert model_class(config).__name__ in {"LlamaForCausalLM", "BartForConditionalGeneration"}


def test_a_class_of_another_type_is_passed_over_and_said():
    config = {"model_type": "llama", "architectures": ["GPT2LMHeadModel"], "num_hidden_layers": 1}
    skeleton = build_skeleton(config, model_id="x")
    assert skeleton.architecture == "LlamaForCausalLM"
    assert any("GPT2LMHeadModel" in note and "LlamaForCausalLM" in note for note in skeleton.notes)


def test_a_type_made_a_decoder_keeps_its_causal_head():
    assert model_class(CONFIG_MAPPING["bert"](is_decoder=True)).__name__ == "BertLMHeadModel"


def test_a_part_that_no_class_is_for_says_so():
    with pytest.raises(InspectorError, match="no model class"):
        build_skeleton({"model_type": "sam_prompt_encoder"}, model_id="x")


def test_a_missing_library_is_named():
    with pytest.raises(InspectorError, match="needs timm, which is not installed"):
        build_skeleton({"model_type": "timm_wrapper"}, model_id="x")


KIMI = {
    "model_type": "kimi_k2", "architectures": ["DeepseekV3ForCausalLM"],
    "auto_map": {
        "AutoConfig": "configuration_deepseek.DeepseekV3Config", "AutoModel": "modeling_deepseek.DeepseekV3Model",
        "AutoModelForCausalLM": "modeling_deepseek.DeepseekV3ForCausalLM",
    },
    "quantization_config": {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [128, 128]},
}  # fmt: skip
"""What the published config says otherwise than the bundled one, whose type is written as transformers knows it."""


def test_kimi_k2_as_published_is_deepseek_v3_and_says_so():
    published = {**bundled_config("moonshotai/Kimi-K2-Instruct"), **KIMI}
    skeleton = build_skeleton(published, model_id="k2")
    assert skeleton.num_parameters == load_bundled("moonshotai/Kimi-K2-Instruct").num_parameters == 1_026_408_209_408
    assert skeleton.architecture == "DeepseekV3ForCausalLM"
    said = " ".join(skeleton.notes)
    assert "transformers knows no 'kimi_k2'; read as deepseek_v3" in said
    assert "brings its own code" in said
    assert "published in fp8" in said


def test_a_type_of_its_own_with_classes_of_its_own_is_not_guessed():
    config = {**bundled_config("moonshotai/Kimi-K2-Instruct"), **KIMI, "architectures": ["LlamaForCausalLM"]}
    with pytest.raises(InspectorError, match="its own code"):
        build_skeleton(config, model_id="k2")


def test_mistral_small_as_published_names_its_doubt():
    """The published config leaves out ``tie_word_embeddings``; its checkpoint has a head of its own."""
    config = bundled_config("mistralai/Mistral-Small-3.1-24B-Base-2503")
    whole = load_bundled("mistralai/Mistral-Small-3.1-24B-Base-2503")
    config = {key: value for key, value in config.items() if key != "tie_word_embeddings"}
    skeleton = build_skeleton(config, model_id="m")
    assert skeleton.num_parameters == 23_340_272_640
    assert any(f"with a head of its own it has {whole.num_parameters:,} parameters" in note for note in skeleton.notes)
    assert whole.num_parameters == 24_011_361_280


@pytest.mark.parametrize("model", ["google/gemma-3-4b-it", "meta-llama/Llama-4-Scout-17B-16E-Instruct"])
def test_where_there_is_no_doubt_none_is_named(model):
    assert not [note for note in load_bundled(model).notes if "head" in note]
    with torch.device("meta"):
        parsed = build_config({**bundled_config(model), "num_hidden_layers": 1})
        built = model_class(parsed)._from_config(parsed)
    assert not [
        note for note in notes_on(bundled_config(model), parsed, "", built) if "head" in note or "class" in note
    ]


def test_llama_4_is_whole():
    config = bundled_config("meta-llama/Llama-4-Scout-17B-16E-Instruct")
    config.pop("architectures")
    skeleton = build_skeleton(config, model_id="scout")
    assert skeleton.architecture == "Llama4ForConditionalGeneration"
    assert skeleton.num_parameters == 108_641_793_536
