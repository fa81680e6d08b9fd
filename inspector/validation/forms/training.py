"""What records of training loops share: the fields of a step, read into settings of the simulator."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from inspector.validation import words
from inspector.validation.forms.figures import described
from inspector.validation.published_run import Question

if TYPE_CHECKING:
    from inspector.validation.fields import Fields
    from inspector.validation.published_run import Figure

ABOUT = (
    "tool", "trainable_params", "trainable_params_computed", "num_total_params", "transcribed_by_hand", "form",
    "other_tool_prediction",
)  # fmt: skip
"""What is told of a training run and changes nothing in it: who ran it, and what came of it."""

PEAKS = {
    ("allocated", False): "peak", ("allocated", True): "run_peak", ("reserved", False): "reserved",
    ("reserved", True): "run_reserved", ("process", False): "process", ("process", True): "process",
}  # fmt: skip
"""What a step's ``peak`` is compared with, by what its metric says."""


@dataclass(slots=True)
class Run:
    """A training step as far as its record says; settings by the simulator's names."""

    model: str
    method: str
    gpu: str
    batch_size: int
    seq_len: int
    attention: str
    settings: dict[str, Any]
    versions: dict[str, str]
    notes: list[str] = field(default_factory=list)

    @property
    def size(self) -> str:
        """``2x1024``."""
        return f"{self.batch_size}x{self.seq_len or None}"

    def question(self, more: str, figures: tuple[Figure, ...]) -> Question:
        """The run as a question; ``more`` follows its size where the ledger names it."""
        return Question(
            # Who reads the file knows its name, and numbers its records.
            file="",
            id="",
            model=self.model,
            method=self.method,
            config=f"{self.size} {more}".strip(),
            gpu=self.gpu,
            settings=self.settings,
            figures=figures,
            versions=self.versions,
            notes=tuple(self.notes),
        )


def versions_of(fields: Fields) -> dict[str, str]:
    """The libraries a record names, without those it leaves open; a version that is no text is named by the reader."""
    part = fields.part("versions")
    said = {name: text for name, text in part.values.items() if isinstance(text, str) and text}
    part.told(*said)
    return said


def before(versions: dict[str, str], library: str, *version: int) -> bool:
    """Whether a run is known to have had an older version of a library than this one."""
    known = words.version(versions.get(library, ""))
    return bool(known) and known < version


def read_training(fields: Fields, usual: dict[str, Any]) -> Run:
    """The step of a record: every field of it as a setting, over what the form's loop does anyway (``usual``)."""
    fields.told(*ABOUT)
    versions = versions_of(fields)
    numbers = fields.read("torch_dtype", words.numbers, words.Numbers())
    # What a record says goes over what its form's loop does anyway.
    settings: dict[str, Any] = {**usual, "dtype": numbers.weights or usual["dtype"]}
    if numbers.autocast:
        settings["autocast"] = numbers.autocast
    attention = fields.read("attn", words.attention, words.Attention(usual["attention"]))
    settings |= {
        "batch_size": fields.whole("micro_batch"),
        "grad_accum": fields.whole("grad_accum", 1),
        "seq_len": fields.whole("seq_len", unsaid=_no_lengths(fields), least=2),
        "gradient_checkpointing": fields.flag("gradient_checkpointing", default=True),
        "reentrant": fields.read("gc_note", words.reentrant, usual.get("reentrant", False)),
        "optimizer": fields.read("optimizer", words.optimizer, usual["optimizer"]),
        "grad_clip": fields.number("max_grad_norm", usual.get("grad_clip", 0.0)),
        "expandable_segments": fields.read("alloc_conf", words.expandable, default=False),
        "loss": fields.read("loss", words.loss, "full"),
        "attention": attention.name,
        "sdpa_backend": attention.backend,
    }
    # A loss that is named is meant as it is; transformers' own changed with its version.
    if settings["loss"] == "full":
        settings["loss"] = loss_of(versions)
    # Nothing is to be read off a stand-in: benchmarks ask whether the length is known.
    if not fields.given("seq_len"):
        settings["seq_len"] = 0
    method = _method(fields, settings)
    if method != "full":
        settings |= _adapters(fields, numbers, settings)
    if method == "qlora":
        settings.setdefault("prepare_kbit", numbers.prepared)
        settings |= loading_of(versions)
    _one_card(fields)
    return Run(
        model=fields.text("model"),
        method=method,
        gpu=fields.read("gpu", words.card, "", required=True),
        batch_size=settings["batch_size"],
        seq_len=settings["seq_len"],
        attention=attention.name,
        settings=settings,
        versions=versions,
        notes=described(fields),
    )


def _no_lengths(fields: Fields) -> str:
    return "the lengths were not published" if "seq_len" in fields.values else ""


def loss_of(versions: dict[str, str]) -> str:
    """How transformers of a version computes the loss; where the version is not known, as the installed one does.

    Sources: those of `inspector.simulate.program.loss`, ``upcast_loss`` and ``shifted_loss``.
    """
    if before(versions, "transformers", 4, 46):
        return "upcast"
    return "shifted" if before(versions, "transformers", 4, 49) else "full"


def loading_of(versions: dict[str, str]) -> dict[str, bool]:
    """How transformers of a version loads what it quantizes; where that is not known, as the installed one does.

    Sources: huggingface/transformers#36380 (``caching_allocator_warmup``, 4.50) and #44576 (threads, until 5.4).
    """
    asked = "transformers" in versions
    return {
        "warm_up": not before(versions, "transformers", 4, 50),
        "load_threads": (
            asked and not before(versions, "transformers", 5) and before(versions, "transformers", 5, 4)
        ),
    }  # fmt: skip


def _method(fields: Fields, settings: dict[str, Any]) -> str:
    """``full``, ``lora`` or ``qlora``: what the record calls LoRA on quantized weights is QLoRA."""
    said = fields.text("method").lower()
    stored = fields.read("quantization", words.stored, words.Quantization("nf4" if said == "qlora" else "none"))
    quantized = stored.scheme != "none"
    if said not in {"full", "lora", "qlora", ""}:
        fields.refuse(f"method {said} is not understood")
    if said == "full" and quantized:
        fields.refuse("quantized weights are not trained in full")
    if said == "qlora" and not quantized:
        fields.refuse("method says qlora and quantization says none", wrong=True)
    method = "full" if said == "full" else "qlora" if quantized else "lora"
    settings["method"] = method
    if quantized:
        settings |= {"scheme": stored.scheme, "double_quant": stored.double_quant}
        if stored.compute_dtype and stored.compute_dtype != settings["dtype"]:
            settings["compute_dtype"] = stored.compute_dtype
    return method


def _adapters(fields: Fields, numbers: words.Numbers, settings: dict[str, Any]) -> dict[str, Any]:
    """LoRA's own settings, and the dtype of its weights: float32 unless said, as PEFT makes them."""
    kept = numbers.adapters or "float32"
    # PEFT makes adapters in the base layer's dtype when told not to cast them (``autocast_adapter_dtype``).
    if kept == settings["dtype"] and "scheme" not in settings:
        kept = "auto"
    if kept not in {"auto", "float32", "bfloat16"}:
        fields.refuse(f"adapters in {kept} are not simulated")
    # To cast to float32 and not to cast are the same here, and the first is PEFT's default.
    if kept == "auto" and settings["dtype"] == "float32":
        kept = "float32"
    return {
        "r": fields.whole("r"),
        "alpha": fields.whole("lora_alpha"),
        "dropout": fields.number("lora_dropout", 0.0),
        "target_modules": list(fields.names("target_modules")),
        "use_dora": fields.flag("use_dora", default=False),
        "use_rslora": fields.flag("use_rslora", default=False),
        "modules_to_save": list(fields.names("modules_to_save")),
        "adapter_dtype": kept if kept in {"auto", "float32", "bfloat16"} else "float32",
    }


def _one_card(fields: Fields) -> None:
    cards = fields.whole("num_gpus", 1)
    if cards > 1:
        fields.refuse(f"a run on {cards} cards is not simulated")
    parallel = fields.text("parallel", "single")
    if parallel not in {"single", "none"}:
        fields.refuse(f"parallel {parallel} is not simulated")
