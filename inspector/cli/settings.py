"""The one table of settings on the command line, by headings: type and help of each, the common ones first."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from inspector.cli.headed import Habitual, HeadedOption, JsonObject, OptimizerName
from inspector.simulate.setup.generation import GenerateSettings
from inspector.simulate.setup.settings import FinetuneSettings
from inspector.simulate.setup.words import words_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from inspector.skeleton.habits import Kind

F = TypeVar("F", bound="Callable[..., Any]")

TRAINED, NUMBERS, BATCH = "What is trained", "Numbers", "Batch"
LOOP, KERNELS, CARD, CARDS = "Loop", "Kernels", "Card", "Several cards"
OBJECTIVE, EVALUATION, SAVING = "Objective", "Evaluation", "Saving"
RUN_OF_STEPS = "A run of many steps"

_HABITS: dict[str, Kind] = {
    "dtype": "dtype",
    "compute_dtype": "dtype",
    "adapter_dtype": "dtype",
    "attention": "attention",
}


@dataclass(frozen=True, slots=True)
class Setting:
    """How a setting is said: under which heading, with what help, and how else it may be spelled."""

    name: str
    heading: str
    help: str
    flag: str = ""
    unseen: tuple[str, ...] = ()

    def option(self, owner: type) -> Callable[[F], F]:
        """The option of a program's settings, None unless said, so that a recipe and the defaults can speak."""
        flag = self.flag or f"--{self.name.replace('_', '-')}"
        # Generation has a card too, which is no field of its settings: what it means is said where training says it.
        home = owner if self.name in owner.__annotations__ else FinetuneSettings
        annotation, words = home.__annotations__.get(self.name, ""), words_of(home).get(self.name)
        more: dict[str, Any] = {}
        if annotation == "bool":
            flag = f"{flag}/--no-{flag[2:]}"
        # They are short for others and no fields of the settings (SHORT), so no annotation says what they are.
        elif self.name in _FLAGS:
            more["is_flag"] = True
        elif self.name in _TYPES:
            more["type"] = _TYPES[self.name]
        elif words and self.name in _HABITS:
            more["type"] = Habitual(words, _HABITS[self.name])
        elif annotation.startswith("tuple[tuple"):
            more |= {"multiple": True, "callback": _unless_unsaid, "metavar": _SHORTER[self.name]}
        elif words:
            more["type"] = click.Choice([word for word in words if word])  # the empty word is meant by leaving it out
            more["metavar"] = _SHORTER.get(self.name)
        else:
            # By text: with `from __future__ import annotations` that is what they are.
            more["type"] = {"int": int, "float": float}.get(annotation, str)
        return click.option(
            flag, self.name, cls=HeadedOption, heading=self.heading, unseen=self.unseen, default=None,
            help=self.help, **more,
        )  # fmt: skip


_FLAGS = {"load_in_4bit", "load_in_8bit"}
_TYPES: dict[str, Any] = {
    "bits": click.Choice(["4", "8", "16", "32"]),
    "optimizer": OptimizerName(),
    "peft_config": JsonObject(),
}

_SHORTER = {
    "scheme": "[none|nf4|fp4|int8|FORMAT]", "rank_pattern": "NAME=R", "alpha_pattern": "NAME=A",
    "trainable_token_indices": "[NAME=]NUMBERS", "vllm_memory": "PART=BYTES",
}  # fmt: skip
"""What the help page shows for what is more than a line of it, or than a text."""


def _unless_unsaid(_context: click.Context, _option: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...] | None:
    # click has an empty tuple for an option that may be said several times and was not.
    return value or None


SETTINGS = (
    Setting("method", TRAINED, "What is trained (qlora)."),
    Setting("r", TRAINED, "Rank of the adapters (8)."),
    Setting("alpha", TRAINED, "LoRA's alpha (8); it changes no size."),
    Setting("target_modules", TRAINED, "Comma-separated; all-linear; PEFT's own choice when left out."),
    Setting("dropout", TRAINED, "LoRA's dropout (0)."),
    Setting("modules_to_save", TRAINED, "Comma-separated modules trained in full."),
    Setting("target_parameters", TRAINED, "Parameters without a module, such as experts.down_proj."),
    Setting("exclude_modules", TRAINED, "Targets to leave out, or a regular expression."),
    Setting("layers_to_transform", TRAINED, "Only in these layers, such as 0,1 or 0-7."),
    Setting("layers_pattern", TRAINED, "What the layers are numbered below, such as layers or h."),
    Setting("rank_pattern", TRAINED, "Another rank for what matches; repeatable."),
    Setting("alpha_pattern", TRAINED, "Another alpha for what matches; repeatable."),
    Setting("trainable_token_indices", TRAINED, "Tokens whose rows train, of the input embedding or NAME; repeatable."),
    Setting("bias", TRAINED, "Biases to train."),
    Setting("use_dora", TRAINED, "DoRA."),
    Setting("use_rslora", TRAINED, "Rank-stabilized LoRA."),
    Setting("peft_config", TRAINED, "PEFT config of any method (lora_bias), a JSON file or inline; options give way."),
    Setting("objective", OBJECTIVE, "What is trained for, as TRL's trainers do (sft); --batch-size counts pairs."),
    Setting("ref_model", OBJECTIVE, "Reference model (auto: the adapters off, else a copy)."),
    Setting("logits_to_keep", OBJECTIVE, "Logits of the answers alone, with --loss full (use_logits_to_keep)."),
    Setting("num_generations", OBJECTIVE, "Answers to each prompt (8); --batch-size counts answers."),
    Setting("steps_per_generation", OBJECTIVE, "Micro-batches generated at once (0: those of a step)."),
    Setting("rollouts", OBJECTIVE, "What generates: the model in its step, or vLLM, on other cards or colocated."),
    Setting("vllm_gpu_memory_utilization", OBJECTIVE, "Share of the card that a colocated vLLM takes (0.3)."),
    Setting("vllm_max_model_length", OBJECTIVE, "Tokens that it makes room for (0: all that the model takes)."),
    Setting("vllm_enable_sleep_mode", OBJECTIVE, "It sleeps while the model trains (level 2)."),
    Setting("vllm_memory", OBJECTIVE, "What it holds, as its log says (found by its rules); repeatable."),
    Setting("reward_model", OBJECTIVE, "A model on the card that scores the answers, by its name."),
    Setting("teacher", OBJECTIVE, "The model that a student follows (gkd, distill), by its name."),
    Setting("sync_ref_model", OBJECTIVE, "The model is mixed into its reference now and then (TR-DPO)."),
    Setting("bits", NUMBERS, "4: nf4, 8: LLM.int8, 16 and 32: the dtype."),
    Setting("load_in_4bit", NUMBERS, "As --bits 4.", unseen=("--4bit",)),
    Setting("load_in_8bit", NUMBERS, "As --bits 8.", unseen=("--8bit",)),
    Setting("dtype", NUMBERS, "Load in (auto: the config's own)."),
    Setting("scheme", NUMBERS, "How the weights are stored; FORMAT: that of a quantized checkpoint, found by itself."),
    Setting("double_quant", NUMBERS, "Quantize the 4-bit constants too."),
    Setting("compute_dtype", NUMBERS, "What 4-bit layers compute in (auto: the dtype)."),
    Setting("autocast", NUMBERS, "Mixed precision."),
    Setting("adapter_dtype", NUMBERS, "auto: the base layer's; bfloat16: cast after, as SFTTrainer does."),
    Setting("prepare_kbit", NUMBERS, "Call prepare_model_for_kbit_training."),
    Setting("clear_cache", NUMBERS, "It empties the allocator's cache, as PEFT 0.20 does."),
    Setting("trl_casting", NUMBERS, "Norms to float32, embeddings to bfloat16, as older SFTTrainers do."),
    Setting("outputs_fp32", NUMBERS, "Outputs to float32, as accelerate does under mixed precision."),
    Setting("batch_size", BATCH, "Sequences at once (1)."),
    Setting("seq_len", BATCH, "Tokens of each (1024)."),
    Setting("target_len", BATCH, "Tokens of a decoder's labels (--seq-len, within what it takes), of a transcript."),
    Setting("prompt_len", BATCH, "Tokens of each prompt (1024; of a pair 0: all are answer)."),
    Setting("max_new_tokens", BATCH, "Tokens of each answer (256)."),
    Setting("num_beams", BATCH, "Beams of each prompt (1: greedy)."),
    Setting("padding_mask", BATCH, "Pass an attention mask."),
    Setting("padded", BATCH, "Some tokens are padding, so that transformers keeps the mask."),
    Setting("packed", BATCH, "Several samples in one sequence."),
    Setting("labels", BATCH, "The input ids themselves, or a copy."),
    Setting("optimizer", LOOP, "By transformers' names: adamw_torch, paged_adamw_8bit, sgd, ..."),
    Setting("optimizer_by", LOOP, "Who makes it: a plain loop, or Trainer, whose 8 bits leave embeddings 32 (loop)."),
    Setting("gradient_checkpointing", LOOP, "Recompute activations in the backward pass."),
    Setting("reentrant", LOOP, "The older kind of checkpointing."),
    Setting("grad_accum", LOOP, "Micro-batches in a step (1)."),
    Setting("grad_clip", LOOP, "Largest gradient norm; 0 never clips."),
    Setting("steps", LOOP, "Steps to simulate (2: the first and the steady state)."),
    Setting("loss", LOOP, "How the cross-entropy is computed; shifted and upcast are older transformers'."),
    Setting("outputs", LOOP, "How long the loop holds the logits: to the loss, the end of the step, the next forward."),
    Setting("zero_grad", LOOP, "Drop gradients before the forward or after the optimizer."),
    Setting("token_accuracy", LOOP, "Take the accuracy from a copy of the logits, as TRL 0.25 did."),
    Setting("empty_cache_every", LOOP, "Steps between two torch.cuda.empty_cache(); 0: never."),
    Setting("use_cache", LOOP, "Fill a key-value cache in training, the config's default."),
    Setting("cache", LOOP, "Which of transformers' key-value caches (dynamic)."),
    Setting("via_cpu", LOOP, "Load on the CPU and move, or load on the device (device_map)."),
    Setting("warm_up", LOOP, "Loading there allocates all bytes at once first, as transformers does since 4.50."),
    Setting("load_threads", LOOP, "Threads bring weights while others are quantized, as transformers 5.0 to 5.3 do."),
    Setting("attention", KERNELS, "Attention (auto: sdpa where the model has it).", "--attn",
            ("--attention", "--attn-implementation")),
    Setting("sdpa_backend", KERNELS, "Pin sdpa's kernel; PyTorch chooses when left out."),
    Setting("routing", KERNELS, "How tokens spread over experts."),
    Setting("eval_batch", EVALUATION, "Sequences of each batch of an evaluation after the last step (0: none)."),
    Setting("eval_batches", EVALUATION, "Batches of it (2)."),
    Setting("eval_gather", EVALUATION, "What is kept of each batch to the end: logits where compute_metrics asks."),
    Setting("generation_max_length", EVALUATION, "Tokens of what it generates (20): predict_with_generate."),
    Setting("generation_num_beams", EVALUATION, "Beams of it (1)."),
    Setting("eval_accum", EVALUATION, "Batches after which that goes to the host (0: none does)."),
    Setting("save", SAVING, "What is saved after the last step, with its files and host memory (none)."),
    Setting("merge_on", SAVING, "Where adapters are merged for it (card)."),
    Setting("save_only_model", SAVING, "Checkpoints without the optimizer's state."),
    Setting("save_total_limit", SAVING, "Checkpoints that stay on the disk (0: nobody says)."),
    Setting("load_best_model_at_end", SAVING, "The best one is loaded again."),
    Setting("gpu", CARD, "A card: T4, RTX 4090, A100-80GB, ... (T4)."),
    Setting("expandable_segments", CARD, "The allocator with expandable_segments:True."),
)  # fmt: skip
"""In the order of the help page."""

BY_NAME = {setting.name: setting for setting in SETTINGS}
SHORT = ("bits", "load_in_4bit", "load_in_8bit")
FINETUNE = frozenset({*FinetuneSettings.__annotations__, *SHORT})
GENERATE = frozenset({*GenerateSettings.__annotations__, *SHORT, "gpu", "expandable_segments"})


def with_settings(owner: type, names: Iterable[str]) -> Callable[[F], F]:
    """Add the options of these settings to a command, in the table's order."""
    wanted = set(names)

    def add(function: F) -> F:
        # click takes options for decorators, which apply from the last up, and turns them round.
        for setting in reversed(SETTINGS):
            if setting.name in wanted:
                function = setting.option(owner)(function)
        return function

    return add


def headed(*names: str, heading: str, **more: Any) -> Callable[[F], F]:
    """An option that is no setting, under a heading."""
    return click.option(*names, cls=HeadedOption, heading=heading, **more)


def vram_option(function: F) -> F:
    """``--vram``: a card by its memory."""
    text = "The card's memory instead of its name, such as 16GiB."
    return headed("--vram", heading=CARD, default="", help=text)(function)


def snapshot_option(function: F) -> F:
    """``--snapshot``: where the run's events go, as PyTorch's own viewer reads them."""
    add = headed(
        "--snapshot",
        heading="The answer",
        unseen=("--trace",),
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Write a snapshot for PyTorch's memory_viz.",
    )
    return add(function)
