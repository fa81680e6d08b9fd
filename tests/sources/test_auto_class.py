"""Configs that name no class get the one a user of that kind of model would load."""

import pytest
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from inspector.build.model import model_class

CLASSES = {
    "llama": "LlamaForCausalLM", "qwen3_moe": "Qwen3MoeForCausalLM", "gpt_oss": "GptOssForCausalLM",
    "bert": "BertForMaskedLM", "modernbert": "ModernBertForMaskedLM", "t5": "T5ForConditionalGeneration",
    "bart": "BartForConditionalGeneration", "whisper": "WhisperForConditionalGeneration",
    "mistral3": "Mistral3ForConditionalGeneration", "gemma3": "Gemma3ForConditionalGeneration",
    "llama4": "Llama4ForConditionalGeneration", "qwen2_5_vl": "Qwen2_5_VLForConditionalGeneration", "vit": "ViTModel",
    "clip": "CLIPModel", "wav2vec2": "Wav2Vec2Model",
}  # fmt: skip


@pytest.mark.parametrize("model_type", CLASSES)
def test_the_right_class(model_type):
    assert model_class(CONFIG_MAPPING[model_type]()).__name__ == CLASSES[model_type]


def test_a_class_that_is_no_model_is_passed_over():
    config = CONFIG_MAPPING["llama"](architectures=["PreTrainedModel", "LlamaConfig", "os", "LlamaForCausalLM"])
    assert model_class(config).__name__ == "LlamaForCausalLM"
