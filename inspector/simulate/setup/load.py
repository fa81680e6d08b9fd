"""How a model is loaded onto the card: what training and generation have in common."""

from __future__ import annotations

from dataclasses import dataclass

from inspector.simulate.setup.words import Attention, Dtype, Scheme, check_words


@dataclass(frozen=True, slots=True)
class KbitPrepare:
    """``peft.prepare_model_for_kbit_training``; ``clear_cache`` says that it empties the allocator's cache."""

    # PEFT's own default (``auto_clear_cache``).
    clear_cache: bool = True


@dataclass(frozen=True, slots=True)
class Quantization:
    """How the base model is stored; ``compute_dtype`` ``auto`` is the dtype it is loaded in.

    ``scheme`` is one of bitsandbytes' types, made of plain weights as they are loaded, or the format of a checkpoint
    that is quantized already, whose own config says the rest (`inspector.precision.published`). ``prepare`` is what
    PEFT does to it before it trains; None where nobody does.
    """

    scheme: Scheme = "nf4"
    double_quant: bool = False
    compute_dtype: Dtype = "auto"
    prepare: KbitPrepare | None = None

    def __post_init__(self) -> None:
        """Raise InspectorError for a word that is not known."""
        check_words(self)


@dataclass(frozen=True, slots=True)
class LoadSetup:
    """What ``from_pretrained`` is told.

    ``dtype`` ``auto`` is the one the config names, ``attention`` ``auto`` transformers' choice: sdpa where the model
    supports it, else eager. ``via_cpu`` says that unquantized weights are loaded on the CPU and moved (``model.to``),
    not loaded on the device (``device_map``). ``warm_up`` says that loading there first allocates the bytes of all
    weights at once, as transformers does since 4.50, and ``threads`` that threads bring weights that are quantized on
    loading to the card while others are quantized, as from 5.0 to 5.3 (`inspector.simulate.program.threads`).
    ``use_cache`` is the model config's own default: without checkpointing,
    a training forward fills a key-value cache.
    """

    dtype: Dtype = "auto"
    attention: Attention = "auto"
    quantization: Quantization | None = None
    via_cpu: bool = True
    warm_up: bool = True
    threads: bool = False
    use_cache: bool = True

    def __post_init__(self) -> None:
        """Raise InspectorError for a word that is not known."""
        check_words(self)
