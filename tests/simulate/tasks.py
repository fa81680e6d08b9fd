"""Small configs of models that are told labels, answer text with text, or look at sound and images."""

from __future__ import annotations

from typing import Any

_ENCODER = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
BERT: dict[str, Any] = {**_ENCODER, "model_type": "bert", "vocab_size": 320, "max_position_embeddings": 64}
ROBERTA: dict[str, Any] = {**BERT, "model_type": "roberta", "max_position_embeddings": 66}
LLAMA: dict[str, Any] = {**BERT, "model_type": "llama", "num_key_value_heads": 2}
VIT: dict[str, Any] = {**_ENCODER, "model_type": "vit", "image_size": 48, "patch_size": 8}
WAV2VEC2: dict[str, Any] = {**_ENCODER, "model_type": "wav2vec2", "conv_dim": [32] * 7}
T5: dict[str, Any] = {
    "model_type": "t5", "d_model": 64, "d_kv": 16, "d_ff": 96, "num_layers": 2, "num_heads": 4, "vocab_size": 320,
    "decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 1,
}  # fmt: skip
_BOTH = {
    "d_model": 64, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "encoder_ffn_dim": 96, "decoder_ffn_dim": 96, "vocab_size": 320,
    "pad_token_id": 1, "eos_token_id": 2, "bos_token_id": 0, "decoder_start_token_id": 2,
}  # fmt: skip
BART: dict[str, Any] = {**_BOTH, "model_type": "bart", "max_position_embeddings": 64}
WHISPER: dict[str, Any] = {
    **_BOTH, "model_type": "whisper", "num_mel_bins": 80, "max_source_positions": 60, "max_target_positions": 24,
}  # fmt: skip
LED: dict[str, Any] = {
    **_BOTH, "model_type": "led", "attention_window": [16, 16], "max_encoder_position_embeddings": 64,
    "max_decoder_position_embeddings": 64,
}  # fmt: skip
LONGFORMER: dict[str, Any] = {
    **BERT, "model_type": "longformer", "attention_window": [16, 16], "max_position_embeddings": 66, "pad_token_id": 1,
}  # fmt: skip
XLNET: dict[str, Any] = {
    "model_type": "xlnet", "d_model": 64, "n_layer": 2, "n_head": 4, "d_inner": 96, "vocab_size": 320,
}  # fmt: skip
SWITCH: dict[str, Any] = {
    **T5, "model_type": "switch_transformers", "num_decoder_layers": 2, "num_experts": 4,
    "num_sparse_encoder_layers": 1, "num_sparse_decoder_layers": 1,
}  # fmt: skip
CLIP: dict[str, Any] = {
    "model_type": "clip", "projection_dim": 32,
    "text_config": {**_ENCODER, "vocab_size": 320, "max_position_embeddings": 24},
    "vision_config": {**_ENCODER, "image_size": 48, "patch_size": 8},
}  # fmt: skip
SEEING: dict[str, Any] = {
    "model_type": "vision-encoder-decoder", "encoder": VIT, "is_encoder_decoder": True, "pad_token_id": 1,
    "decoder_start_token_id": 2,
    "decoder": {
        "model_type": "trocr", "d_model": 64, "decoder_layers": 2, "decoder_attention_heads": 4, "decoder_ffn_dim": 96,
        "vocab_size": 320, "max_position_embeddings": 64, "cross_attention_hidden_size": 64, "is_decoder": True,
        "add_cross_attention": True,
    },
}  # fmt: skip


MUSICGEN: dict[str, Any] = {
    "model_type": "musicgen", "text_encoder": T5, "is_encoder_decoder": True,
    "audio_encoder": {
        "model_type": "encodec", "num_filters": 4, "hidden_size": 8, "codebook_size": 32, "num_lstm_layers": 1,
        "upsampling_ratios": [2, 2],
    },
    "decoder": {
        "model_type": "musicgen_decoder", "vocab_size": 48, "hidden_size": 64, "ffn_dim": 96, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_codebooks": 3, "pad_token_id": 0, "decoder_start_token_id": 2, "bos_token_id": 2,
    },
}  # fmt: skip
DIA: dict[str, Any] = {
    "model_type": "dia", "delay_pattern": [0, 1, 2], "pad_token_id": 40, "eos_token_id": 41, "bos_token_id": 42,
    "encoder_config": {
        "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 4, "head_dim": 16, "vocab_size": 64,
    },
    "decoder_config": {
        "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 16, "cross_num_attention_heads": 4, "cross_num_key_value_heads": 4,
        "cross_head_dim": 16, "cross_hidden_size": 64, "vocab_size": 48, "num_channels": 3,
    },
}  # fmt: skip


def named(architecture: str, config: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A config that names its class, with these fields besides."""
    if "num_labels" in fields:
        fields["id2label"] = {str(number): f"l{number}" for number in range(fields.pop("num_labels"))}
    return {"dtype": "float32", **config, **fields, "architectures": [architecture]}
