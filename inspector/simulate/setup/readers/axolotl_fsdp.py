"""What axolotl says of FSDP, as its schema resolves it (utils/schemas/validation.py) for accelerate's plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.simulate.setup.readers.training_arguments import as_accelerate

if TYPE_CHECKING:
    from inspector.simulate.setup.readers.config_file import ConfigFile
    from inspector.simulate.setup.readers.reading import Reading


def efficient_loading(reading: Reading) -> bool:
    """Whether rank 0 alone reads the weights."""
    config = reading.part("fsdp_config")
    return bool(config.get("cpu_ram_efficient_loading", config.get("fsdp_cpu_ram_efficient_loading")))


def refuse_what_fsdp_does(reading: Reading, rl: str, optimizer: str) -> None:
    """Raise InspectorError for what axolotl refuses together with FSDP."""
    config = reading.part("fsdp_config")
    if not config:
        return
    version = fsdp_version(reading)
    # bitsandbytes' kernels know no DTensor; torchao's do.
    if version == "2" and optimizer in {"adamw_8bit", "adamw_bnb_8bit"}:
        raise reading.refuse(f"FSDP2 not compatible with {optimizer}, use `adamw_torch_8bit` instead", "optimizer")
    offloads = config.get("offload_params", config.get("fsdp_offload_params"))
    if version == "1" and offloads and "8bit" in optimizer:
        raise reading.refuse(f"FSDP Offload not compatible with {optimizer}", "optimizer")
    # Asked of the key at the top alone, before the one inside is moved there.
    quantized = next((key for key in ("load_in_8bit", "load_in_4bit") if reading.on(key)), "")
    if str(reading.said("fsdp_version")) == "2" and rl in {"dpo", "kto", "orpo", "ipo"} and quantized:
        raise reading.refuse(f"FSDP2 does not support load_in_8bit or load_in_4bit with {rl}", quantized)


def fsdp_version(reading: Reading) -> str:
    """``1`` or ``2``, the first where nothing is said."""
    config = reading.part("fsdp_config")
    return str(reading.said("fsdp_version") or config.get("fsdp_version") or config.get("version") or 1)


def sharded_by_fsdp(reading: Reading) -> tuple[ConfigFile, ...]:
    """The file of accelerate's for what axolotl says of FSDP, or none."""
    said = reading.said("fsdp") or []
    config = reading.part("fsdp_config")
    if not said and not config:
        return ()
    version = fsdp_version(reading)
    fields = {f"fsdp_{key.removeprefix('fsdp_')}": value for key, value in config.items() if value is not None}
    fields["fsdp_version"] = version
    words = [str(word).lower() for word in (said if isinstance(said, list) else str(said).split())]
    # Only the first version has strategies; the second says whether it reshards.
    if version == "1":
        strategy = next((word.upper() for word in words if word.endswith(("shard", "zero2", "grad_op"))), None)
        if strategy:
            fields.setdefault("fsdp_sharding_strategy", strategy)
        if isinstance(fields.get("fsdp_reshard_after_forward"), bool):
            fields.pop("fsdp_reshard_after_forward")
    if "offload" in words:
        fields.setdefault("fsdp_offload_params", True)
    if "auto_wrap" in words or "fsdp_transformer_layer_cls_to_wrap" in fields:
        fields.setdefault("fsdp_auto_wrap_policy", "TRANSFORMER_BASED_WRAP")
    for key in ("dp_shard_size", "dp_replicate_size"):
        reading.unread(key, why="groups of cards are said with --parallel hsdp:2x4")
    return (as_accelerate(reading, {key: value for key, value in fields.items() if key not in _FSDP_UNREAD}),)


_FSDP_UNREAD = {"fsdp_final_state_dict_type", "fsdp_cpu_offload_pin_memory", "fsdp_mixed_precision_policy",
                "fsdp_limit_all_gathers"}  # fmt: skip
"""Of axolotl's own, or of transformers', that accelerate's launcher knows nothing of."""
