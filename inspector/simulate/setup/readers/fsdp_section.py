"""``fsdp_config`` and ``parallelism_config`` of accelerate's files, of both versions of FSDP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inspector.errors import InspectorError
from inspector.simulate.setup.readers.says import as_bool, as_count, section

if TYPE_CHECKING:
    from collections.abc import Iterable

    from inspector.simulate.setup.readers.config_file import ConfigFile

FSDP_DEFAULTS: dict[str, Any] = {
    "version": "1", "offload_params": "false", "min_num_params": 10**8, "sharding_strategy": "FULL_SHARD",
    "reshard_after_forward": "true", "auto_wrap_policy": None, "transformer_layer_cls_to_wrap": None,
    "backward_prefetch": None, "state_dict_type": None, "forward_prefetch": "false", "use_orig_params": "true",
    "cpu_ram_efficient_loading": "true", "sync_module_states": "true", "activation_checkpointing": "false",
    "activation_checkpointing_offload": "false", "ignored_modules": None,
}  # fmt: skip
"""What ``launch_command_parser`` has where the file says nothing."""

_WRAPS = {"TRANSFORMER_BASED_WRAP": "layers", "SIZE_BASED_WRAP": "size", "NO_WRAP": "none"}
# By number and name, as ``ShardingStrategy`` and ``FSDP_SHARDING_STRATEGY`` have them.
_SHARDING = ("FULL_SHARD", "SHARD_GRAD_OP", "NO_SHARD", "HYBRID_SHARD", "HYBRID_SHARD_ZERO2")
_PREFETCH = ("BACKWARD_PRE", "BACKWARD_POST", "NO_PREFETCH")
_DTYPES = {"bf16": "bfloat16", "fp16": "float16"}


class FsdpSection:
    """The section as ``FullyShardedDataParallelPlugin`` gets it from the launcher; ``notes``: keys unread."""

    def __init__(self, file: ConfigFile) -> None:
        self.file = file
        said = section(file, "fsdp_config")
        self.said = {key.removeprefix("fsdp_"): value for key, value in said.items()}
        self.where = {key.removeprefix("fsdp_"): file.at("fsdp_config", key) for key in said}
        self.value = {**FSDP_DEFAULTS, **self.said}
        self.notes = [
            f"{self.where[key]}: accelerate does not read fsdp_{key}" for key in self.said if key not in FSDP_DEFAULTS
        ]

    def read(self, nodes: int, precision: str) -> tuple[str, dict[str, Any]]:
        """The way of sharing in a word, and other fields of its setup. Raises InspectorError as accelerate does."""
        version = str(self.value["version"])
        if version not in {"1", "2"}:
            raise self._wrong("version", f"fsdp_version is 1 or 2, not {version!r}")
        # The launcher asks whether they are empty, and "false" in quotes is not.
        if self.value["cpu_ram_efficient_loading"] and not self.value["sync_module_states"]:
            raise self._wrong(
                "sync_module_states",
                "When using `--fsdp_cpu_ram_efficient_loading` set `--fsdp_sync_module_states` to `True`",
            )
        fields = {**self._wrapping(), "offload": "params" if self._on("offload_params") else "none"}
        if precision in _DTYPES:
            fields |= {"param_dtype": _DTYPES[precision], "reduce_dtype": _DTYPES[precision]}
        if self._on("cpu_ram_efficient_loading"):
            fields["cpu_ram_efficient_loading"] = True
        if version == "2":
            if fields["wrap"] == "layers":
                fields["wrap"] = "trainer"  # as accelerate prepares it: embedding and head are units too
            return self._second(), {**fields, "reshard_after_forward": self._reshards()}
        if precision in _DTYPES:
            fields["buffer_dtype"] = _DTYPES[precision]
        return "fsdp1", {**fields, **self._first(nodes)}

    def checkpointing(self) -> dict[str, Any]:
        """FSDP's own wrapper of every layer (``checkpoint_wrapper``), which is no reentrant one."""
        if self._on("activation_checkpointing_offload"):
            raise self._wrong("activation_checkpointing_offload", "activations kept on the host are not simulated")
        return {"gradient_checkpointing": True, "reentrant": False} if self._on("activation_checkpointing") else {}

    def set_at(self, fields: Iterable[str], settings: Iterable[str]) -> dict[str, str]:
        """Where each of them is said."""
        names = {"wrap": "auto_wrap_policy", "offload": "offload_params"}
        whole = self.file.at("fsdp_config")
        found = {name: self.where.get(names.get(name, name), whole) for name in fields}
        return found | dict.fromkeys(settings, self.where.get("activation_checkpointing", whole))

    def _wrong(self, name: str, said: str, hint: str = "") -> InspectorError:
        return InspectorError(f"{self.where.get(name, self.file.at('fsdp_config'))}: {said}", hint=hint)

    def _on(self, name: str) -> bool:
        return as_bool(self.file, self.value[name], "fsdp_config", f"fsdp_{name}")

    def _one_of(self, name: str, words: tuple[str, ...]) -> str:
        """A word, or its number as PyTorch's enums count from 1; "" for none."""
        if self.value[name] is None:
            return ""
        said = str(self.value[name]).upper()
        if said.isdecimal() and 1 <= int(said) <= len(words):
            return words[int(said) - 1]
        if said not in words:
            raise self._wrong(name, f"fsdp_{name} is one of {', '.join(words)}, not {self.value[name]!r}")
        return said

    def _wrapping(self) -> dict[str, Any]:
        policy = str(self.value["auto_wrap_policy"] or "NO_WRAP").upper()
        if policy not in _WRAPS:
            said = f"Invalid auto wrap policy: {self.value['auto_wrap_policy']}. Must be one of {list(_WRAPS)}"
            raise self._wrong("auto_wrap_policy", said)
        if self.value["transformer_layer_cls_to_wrap"]:
            self.notes.append(
                f"{self.where['transformer_layer_cls_to_wrap']}: the model's own layers are taken for units"
            )
        fields: dict[str, Any] = {"wrap": _WRAPS[policy]}
        if policy == "SIZE_BASED_WRAP":
            least = as_count(self.file, self.value["min_num_params"], "fsdp_config", "fsdp_min_num_params")
            fields["min_num_params"] = least
        return fields

    def _first(self, nodes: int) -> dict[str, Any]:
        sharding = self._one_of("sharding_strategy", _SHARDING)
        reshard = self.said.get("reshard_after_forward")
        if isinstance(reshard, str) and "sharding_strategy" not in self.said and reshard.upper() != sharding:
            # The launcher always passes a sharding strategy, FULL_SHARD where none is named, and that goes before.
            where = self.where["reshard_after_forward"]
            self.notes.append(f"{where}: version 1 takes fsdp_sharding_strategy, here {sharding}")
        if sharding == "NO_SHARD":
            hint = "distributed_type: MULTI_GPU is the same, and simulated"
            raise self._wrong("sharding_strategy", "NO_SHARD keeps everything on every card", hint)
        if sharding.startswith("HYBRID") and nodes > 1:
            hint = "fsdp_version: 2 with dp_replicate_size"
            raise self._wrong("sharding_strategy", f"{sharding} of FSDP1 over {nodes} machines is not simulated", hint)
        prefetch = self._one_of("backward_prefetch", _PREFETCH)
        return {
            "reshard_after_forward": sharding in {"FULL_SHARD", "HYBRID_SHARD"},
            "use_orig_params": self._on("use_orig_params"),
            "sync_module_states": self._on("sync_module_states") or self._on("cpu_ram_efficient_loading"),
            "forward_prefetch": self._on("forward_prefetch"),
            "backward_prefetch": {"BACKWARD_PRE": "pre", "BACKWARD_POST": "post"}.get(prefetch, "none"),
        }

    def _reshards(self) -> bool:
        try:
            return self._on("reshard_after_forward")
        except InspectorError:
            said = self.value["reshard_after_forward"]
            raise self._wrong(
                "reshard_after_forward",
                f"reshard_after_forward set to {said}. This is not supported with FSDP2, please set to a `bool`",
            ) from None

    def _second(self) -> str:
        if "forward_prefetch" in self.said and self._on("forward_prefetch"):
            # accelerate reads the variable for version 1 alone.
            self.notes.append(f"{self.where['forward_prefetch']}: FSDP2 has no forward prefetch")
        replicas, shards, tp = map(self._size, ("dp_replicate_size", "dp_shard_size", "tp_size"))
        whole = self.file.at("parallelism_config")
        if self._size("sp_size") > 1:
            raise InspectorError(f"{whole}: sp_size is not simulated: sequences stay whole")
        if (cp := self._size("cp_size")) > 1:
            if tp > 1 or replicas > 1:
                raise InspectorError(f"{whole}: cp_size beside tp_size or dp_replicate_size is not simulated")
            return f"cp:{cp}+fsdp2"
        if tp > 1 and replicas > 1:
            raise InspectorError(f"{whole}: tensor parallelism beside replicas is not simulated")
        if tp > 1:
            return f"tp:{tp}+fsdp2" if shards > 1 else f"tp:{tp}"
        return f"hsdp:{replicas}x{shards}" if replicas > 1 else "fsdp2"

    def _size(self, name: str) -> int:
        """A size of the mesh; the questionnaire writes them with the section's name before it."""
        sizes = section(self.file, "parallelism_config")
        key = next((key for key in sizes if key in {name, f"parallelism_config_{name}"}), "")
        return as_count(self.file, sizes[key], "parallelism_config", key) if key else 1
