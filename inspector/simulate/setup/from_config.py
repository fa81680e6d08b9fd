"""What configuration files resolve to, as the settings of a dry run; what no dry run has is refused in a line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from inspector.errors import InspectorError
from inspector.simulate.setup.objective import COMPARES, GENERATES
from inspector.simulate.setup.optimizer_names import optimizer_names
from inspector.simulate.setup.readers.models_named import bundled_as
from inspector.simulate.setup.readers.own import SETTINGS
from inspector.simulate.setup.readers.training_arguments import DTYPES
from inspector.simulate.setup.words import ON_LOADING, Objective

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inspector.simulate.setup.configured import ConfigReport

_TORCHTUNE = {"w1": "gate_proj", "w2": "down_proj", "w3": "up_proj", "output_proj": "o_proj", "output": "lm_head"}
_ATTENTION = {"sdpa": "sdpa", "eager": "eager", "flash_attention_2": "flash_attention_2",
              "kernels-community/flash-attn2": "flash_attention_2"}  # fmt: skip
_LOSSES = {"full": "full", "liger": "liger", "chunked": "chunked"}
_PLAIN = {
    "r": "lora.r", "alpha": "lora.alpha", "dropout": "lora.dropout", "use_dora": "lora.dora",
    "use_rslora": "lora.rslora", "modules_to_save": "lora.modules_to_save", "batch_size": "per_device_batch",
    "grad_accum": "gradient_accumulation", "seq_len": "seq_len", "grad_clip": "max_grad_norm",
    "empty_cache_every": "empty_cache_every", "dtype": "load_dtype", "prepare_kbit": "kbit_preparation",
}  # fmt: skip
"""Settings that are a resolved value as it is."""
_ENGINE = {"vllm_gpu_memory_utilization": "vllm_gpu_memory_utilization", "vllm_enable_sleep_mode": "vllm_sleep",
           "vllm_max_model_length": "vllm_max_model_length"}  # fmt: skip
"""Those of a vLLM in the process that trains."""


def settings_of(
    report: ConfigReport, said: Mapping[str, object] | None = None
) -> tuple[dict[str, Any], dict[str, str]]:
    """Settings by our own words, and where each is said.

    Args:
        report: of the files.
        said: what is typed beside it, by its words: that is not asked of the files, and refused for nothing.

    Raises:
        InspectorError: for what no dry run has, with the line that says it.
    """
    if report.options:
        own = {name: value for name, value in report.options.items() if name in SETTINGS}
        return own, dict.fromkeys(own, report.files[0])
    if report.value("per_device_batch") is None and report.value("model") is None:
        return {}, {}
    found = _Settings(report, frozenset(said or ()))
    found.objective()
    found.evaluation()
    found.adapters()
    found.stored()
    found.loop()
    found.batch()
    if said and said.get("save") == "checkpoint":
        found.saving()
    return found.words, found.at


def model_of(report: ConfigReport) -> str | None:
    """The model that files name: a bundled one where it is one, or one's mirror."""
    name = report.value("model")
    return (bundled_as(str(name)) or str(report.value("model_is") or name)) if name else None


class _Settings:
    def __init__(self, report: ConfigReport, said: frozenset[str]) -> None:
        self.report, self.said = report, said
        self.words: dict[str, Any] = {}
        self.at: dict[str, str] = {}
        for word, name in _PLAIN.items():
            if (value := report.value(name)) is not None and not isinstance(value, (dict,)):
                self.put(word, value, name)
        if self.report.value("gradient_accumulation") == "auto":
            self.words.pop("grad_accum", None)

    def put(self, word: str, value: Any, name: str) -> None:
        """A setting, unless it is typed."""
        if word not in self.said:
            self.words[word] = value
            self.at[word] = self.report.told[name].where if name in self.report.told else self.report.files[0]

    def refuse(self, name: str, what: str, hint: str) -> InspectorError:
        where = self.report.told[name].where if name in self.report.told else self.report.files[0]
        return InspectorError(f"{where}: {what}", hint=hint)

    def objective(self) -> None:
        """What is trained for, with the reference model where the file says that it is a copy."""
        kind = self.report.value("objective")
        if kind in {None, "sft"}:
            return
        if kind == "ppo" and "trl" not in self.report.tools:
            raise self.refuse("objective", "ppo is simulated as TRL's PPOTrainer does it, and not as another tool",
                              "--objective rloo trains on own answers too")  # fmt: skip
        if kind not in get_args(Objective):
            raise self.refuse("objective", f"{kind} is not simulated yet", f"{', '.join(get_args(Objective))} are")
        self.put("objective", self.report.value("distillation") or kind, "objective")
        adapted = self.report.value("method") != "full"
        for word in ("sync_ref_model", "reward_model", "teacher"):
            if value := self.report.value(word):
                self.put(word, value, word)
        if kind in COMPARES:
            self._reference(adapted=adapted)
        if self.words.get("objective") in GENERATES:
            self._generation(kind, adapted=adapted)
        prompt = self.report.value("prompt_length")
        if isinstance(prompt, int) and prompt:
            self.put("prompt_len", prompt, "prompt_length")

    def _reference(self, *, adapted: bool) -> None:
        """The reference model, where it is not what the trainer makes of the method."""
        held = self.report.value("reference_model")
        if held == "copy" and adapted:
            self.put("ref_model", "copy", "reference_model")
        elif held == "none" and not adapted:
            self.put("ref_model", "precomputed", "reference_model")

    def _generation(self, kind: str, *, adapted: bool) -> None:
        """How answers are made, and of GRPO whether it has a reference model: where its ``beta`` is not 0."""
        how = {"vllm-server": "server", "vllm-colocate": "colocated"}.get(str(self.report.value("generation")))
        self.put("rollouts", how or "transformers", "generation")
        if how == "colocated" and "rollouts" not in self.said:
            for word, name in _ENGINE.items():
                if (value := self.report.value(name)) is not None:
                    self.put(word, value, name)
        for word in ("num_generations", "steps_per_generation"):
            if isinstance(count := self.report.value(word), int):
                self.put(word, count, word)
        if kind == "grpo" and self.report.value("beta"):
            copied = self.report.value("reference_model") == "copy" or not adapted
            self.put("ref_model", "copy" if copied else "adapters", "beta")

    def evaluation(self) -> None:
        """The evaluation between steps, of which a file says no more than its batch and when logits go to the host."""
        size = self.report.value("eval_batch")
        # Those that generate do so in an evaluation as well, which is not simulated.
        if isinstance(size, int) and size and self.report.value("objective") not in GENERATES:
            self.put("eval_batch", size, "eval_batch")
            steps = self.report.value("eval_accumulation")
            if isinstance(steps, int) and steps:
                self.put("eval_accum", steps, "eval_accumulation")

    def saving(self) -> None:
        """How many checkpoints stay and what is in them, where it is asked what one takes."""
        for word in ("save_total_limit", "save_only_model", "load_best_model_at_end"):
            if value := self.report.value(word):
                self.put(word, value, word)

    def adapters(self) -> None:
        """The method, and what LoRA is put on."""
        method = self.report.value("method")
        if method is None:
            return
        if method not in {"full", "lora", "qlora"}:
            raise self.refuse("method", f"{method} is not simulated", "--method lora")
        quantized = self.report.value("quantization.scheme") is not None
        self.put("method", "qlora" if quantized else method, "method")
        targets = self.report.value("lora.targets")
        if method != "full" and "target_modules" not in self.said:
            self.put("target_modules", self._targets(targets), "lora.targets")
        if method == "full":
            return
        dtype = self.report.value("adapter_dtype")
        if dtype in {"float32", "bfloat16"}:
            self.put("adapter_dtype", dtype, "adapter_dtype")
        elif dtype is not None:
            self.put("adapter_dtype", "auto", "adapter_dtype")

    def _targets(self, targets: Any) -> list[str]:
        if targets in {"all-linear", "peft-default"} if isinstance(targets, str) else targets is None:
            return ["all-linear"] if targets == "all-linear" else []
        if isinstance(targets, str):
            raise self.refuse("lora.targets", "an expression for targets is not read", "name them: --target-modules")
        names = [name.partition(" ")[0] for name in targets]
        if "all-linear" in names:
            raise self.refuse("lora.targets", "all linear layers and the head beside them are no one word of PEFT",
                              "name them: --target-modules")  # fmt: skip
        return [_TORCHTUNE.get(name, name) if "torchtune" in self.report.tools else name for name in names]

    def stored(self) -> None:
        """How the base model is held."""
        scheme = self.report.value("quantization.scheme")
        if scheme is None:
            self.words.pop("prepare_kbit", None)
            if self.words.get("method") in {"full", "lora"}:
                return
        elif "scheme" not in self.said:
            if scheme not in ON_LOADING:
                raise self.refuse("quantization.scheme", f"{scheme} is not simulated", "--scheme nf4 comes near")
            self.put("scheme", scheme, "quantization.scheme")
        for word in ("double_quant", "compute_dtype"):
            if (value := self.report.value(f"quantization.{word}")) is not None:
                self.put(word, value, f"quantization.{word}")

    def loop(self) -> None:
        """Precision, checkpointing, attention, loss and optimizer."""
        word = self.report.value("mixed_precision")
        if word in {"none", "bf16", "fp16"}:
            self.put("autocast", word, "mixed_precision")
            self.put("outputs_fp32", word != "none", "mixed_precision")
        on = self.report.value("gradient_checkpointing.enabled")
        # PPOTrainer has a loop of its own, which turns neither on nor off.
        if on is not None and self.words.get("objective") != "ppo":
            self.put("gradient_checkpointing", on, "gradient_checkpointing.enabled")
            self.put("use_cache", not on, "gradient_checkpointing.enabled")
        kind = self.report.value("gradient_checkpointing.reentrant")
        if isinstance(kind, bool):
            self.put("reentrant", kind, "gradient_checkpointing.reentrant")
        elif kind is not None and "reentrant" not in self.said:
            raise self.refuse("gradient_checkpointing.reentrant", f"{kind} checkpointing is not simulated",
                              "--no-reentrant comes nearest")  # fmt: skip
        self._attention()
        self._loss()
        self._optimizer()
        # transformers' Trainer, and torchtune's recipes: the loss alone is held, and gradients go after the optimizer.
        for name, value in (("outputs", "loss"), ("zero_grad", "after"), ("labels", "clone")):
            self.put(name, value, "")
        if "torchtune" not in self.report.tools:
            self.put("optimizer_by", "trainer", "")

    def _attention(self) -> None:
        name = self.report.value("attention")
        if name is None or "attention" in self.said:
            return
        if name not in _ATTENTION:
            raise self.refuse("attention", f"attention by {name} is not simulated", "--attn flash_attention_2")
        self.put("attention", _ATTENTION[name], "attention")

    def _loss(self) -> None:
        loss = self.report.value("loss")
        # RewardTrainer makes no logits of a vocabulary: its loss is none of these.
        if loss in {None, "none"} or "loss" in self.said:
            return
        kind = self.words.get("objective")
        if kind in {"distill", "ppo"}:  # they have one loss, which no key says
            return
        if loss == "full" and kind in GENERATES:
            raise self.refuse("loss", f"the logits of {kind} are not simulated, TRL 1's fused log-probabilities are",
                              "--loss trl")  # fmt: skip
        if loss not in _LOSSES:
            raise self.refuse("loss", f"the loss {loss} is not simulated", "--loss liger comes nearest")
        fused = loss == "chunked" and "trl" in self.report.tools
        self.put("loss", "trl" if fused else _LOSSES[loss], "loss")

    def _optimizer(self) -> None:
        name = self.report.value("optimizer")
        if name is None or "optimizer" in self.said:
            return
        if optimizer_names() and name not in optimizer_names():
            raise self.refuse("optimizer", f"the optimizer {name} is not simulated", "--optimizer adamw_torch")
        self.put("optimizer", name, "optimizer")

    def batch(self) -> None:
        """Length, padding and packing."""
        if self.report.value("seq_len") is None and "seq_len" not in self.said:
            raise InspectorError(
                f"{self.report.files[0]} does not say how long a sequence is: the data decides",
                hint="say the longest: --seq-len 2048",
            )
        packed = bool(self.report.value("packing") or self.report.value("padding_free"))
        if packed and self.words.get("objective", "sft") != "sft":
            raise self.refuse("padding_free", "samples of pairs without padding are not simulated",
                              "take padding_free out: with padding it is no less")  # fmt: skip
        if "packed" not in self.said and "padding_mask" not in self.said:
            name = "packing" if "packing" in self.report.told else "padding_free"
            self.put("packed", packed, name)
            self.put("padding_mask", not packed, name)
        if self.words.get("method") == "qlora":
            self.put("via_cpu", False, "")


def mixed_dtype(word: str) -> Any:
    """The dtype of a mixed precision, ``bf16`` or ``fp16``, for DeepSpeed, which holds it itself."""
    return DTYPES[word]
