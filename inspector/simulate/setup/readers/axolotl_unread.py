"""Keys of axolotl that change memory and that no dry run has, each with what is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inspector.simulate.setup.readers.reading import Reading

_UNREAD = {
    "activation_offloading": "activations kept on the host are not simulated",
    "layer_offloading": "layers kept on the host are not simulated",
    "selective_checkpointing": "which activations are saved is not simulated",
    "tiled_mlp": "the MLP in tiles is not simulated",
    "torch_compile": "torch.compile saves other activations: not simulated",
    "context_parallel_size": "sequences split over cards are not simulated",
    "sequence_parallel_degree": "sequences split over cards are not simulated",
    "tensor_parallel_size": "say --parallel tp:2",
    "unfrozen_parameters": "which weights train is not read",
    "lisa_n_layers": "which layers train changes as it goes",
    "relora": "ReLoRA merges and starts anew",
    "gptq": "the checkpoint's own format is found by itself",
    "lora_target_parameters": "parameters without a module: --target-parameters",
    "peft_layers_to_transform": "say --layers-to-transform",
    "peft_layers_pattern": "say --layers-pattern",
    "lora_rank_pattern": "say --rank-pattern",
    "peft_trainable_token_indices": "say --trainable-token-indices",
    "lora_model_dir": "a saved adapter that training goes on with has its own rank and targets",
    "qat": "quantization-aware training is not simulated",
    "fp8": "training in FP8 is not simulated",
    "fp32_norms": "norms in float32 are not read",
    "quantize_moe_experts": "experts quantized one by one are not simulated",
    "neftune_noise_alpha": "the noise on the embeddings is one more tensor of their size",
    "batch_flattening": "samples in one row, without packing to a length",
    "use_pose": "positions only",
    "device_map": "layers over cards: --parallel device_map",
    "max_memory": "layers over cards: --parallel device_map",
    "auto_find_batch_size": "the batch is halved until it fits",
    "resize_token_embeddings_to_32x": "say --pad-to-multiple-of 32",
    "added_tokens_overrides": "other words for reserved tokens",
    "optim_target_modules": "what an optimizer is told of its own is not simulated",
    "deepcompile": "compiled by DeepSpeed",
    "kd_trainer": "a teacher's logits",
    "gemma4_hybrid_attn_impl": "two kinds of attention in one model",
}


def unread(reading: Reading) -> None:
    """Tell those that the file says."""
    for key, why in _UNREAD.items():
        if key.endswith(("_size", "_degree")) and reading.whole(key, default=1, least=0) in {0, 1}:
            continue
        reading.unread(key, why=why)
    if reading.on("freeze_mm_modules"):
        reading.put("freeze_vision", True, "freeze_mm_modules")
    if reading.said("torch_empty_cache_steps") is not None:
        reading.put("empty_cache_every", reading.whole("torch_empty_cache_steps"), "torch_empty_cache_steps")
