"""What a checkpoint that is quantized already makes of a user's words: it is loaded as it is stored, or not at all.

Sources: transformers quantizers/auto.py, ``merge_quantization_configs`` (a config of another class is refused, of the
same class passed over), and trainer_utils.py, ``validate_quantization_for_training``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from inspector.errors import ContradictionError
from inspector.precision.published import DEQUANTIZE, published_in
from inspector.simulate.setup.words import ON_LOADING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inspector.precision.published import Published
    from inspector.simulate.setup.finetuning import Resolved
    from inspector.simulate.setup.generation import GenerateSettings
    from inspector.simulate.setup.settings import FinetuneSettings


class StoredOtherwiseError(ContradictionError):
    """What was asked for contradicts how the checkpoint is stored."""


def follow_checkpoint(resolved: Resolved, config: Mapping[str, Any]) -> Resolved:
    """A fine-tuning of the model of this config, whose checkpoint may be quantized already.

    Raises StoredOtherwiseError for a format asked for that the checkpoint is not in, and for what transformers refuses.
    """
    published = published_in(config)
    settings, set_by = resolved.settings, resolved.set_by
    if published is None:
        _check_plain(settings.scheme)
        return resolved
    check_known(published)
    scheme = _scheme(published, settings, said=set_by["scheme"] in {"you", "recipe"})
    words: dict[str, Any] = {"scheme": scheme}
    if scheme == "none":
        if settings.method == "qlora" and set_by["method"] == "you":
            raise not_trained(published, full=False)
        words["method"] = "full" if settings.method == "full" else "lora"
        words["prepare_kbit"] = False
    elif published.method == "fp8" and set_by["prepare_kbit"] not in {"you", "recipe"}:
        # PEFT's preparation knows no FP8: it would make float32 of every other weight.
        words["prepare_kbit"] = False
    if settings.double_quant:
        if set_by["double_quant"] == "you" and published.method != "bitsandbytes":
            raise StoredOtherwiseError("double quantization is for 4-bit schemes", hint="use --no-double-quant")
        words["double_quant"] = False  # what is said of bitsandbytes on the fly says nothing here
    changed = {name: value for name, value in words.items() if value != getattr(settings, name)}
    return replace(
        resolved,
        settings=replace(settings, **changed),
        set_by={**set_by, **{name: _by(set_by[name]) for name in changed}},
    )


def _scheme(published: Published, settings: FinetuneSettings, *, said: bool) -> Any:
    """How the weights train: as stored, or ``none`` where they are dequantized on loading."""
    full = settings.method == "full"
    if said and settings.scheme != "none":
        scheme = _as_stored(published, settings.scheme)
    elif said:
        _check_dequantizes(published)
        return "none"
    elif published.says_dequantize:
        return "none"
    else:
        scheme = published.method
    if not full and trains_as_stored(published):
        return scheme
    if said or published.method not in DEQUANTIZE:
        raise not_trained(published, full=full)
    return "none"


def _by(before: str) -> Any:
    # What was said and means the same here stays said: nf4 on a checkpoint that bitsandbytes wrote.
    return "you" if before == "you" else "model"


def generate_from_checkpoint(settings: GenerateSettings, config: Mapping[str, Any], *, said: bool) -> GenerateSettings:
    """A generation with the model of this config; ``said`` is whether the user chose how weights are stored.

    Raises InspectorError as `follow_checkpoint` does.
    """
    published = published_in(config)
    if published is None:
        _check_plain(settings.scheme)
        return settings
    check_known(published)
    if not said:
        stored: Any = "none" if published.says_dequantize else published.method
        return replace(settings, scheme=stored)
    if settings.scheme == "none":
        _check_dequantizes(published)
        return settings
    return replace(settings, scheme=_as_stored(published, settings.scheme), double_quant=False)


def check_known(published: Published) -> None:
    """Refuse a format whose layers are not known here, or to nobody. Raises InspectorError."""
    if published.known:
        return
    from inspector.architecture.quantizers import loaded_methods, unknown_method

    if not published.method:
        raise StoredOtherwiseError(
            "quantization_config names no quant_method, and transformers refuses it so",
            hint=f"say how the weights are stored: {', '.join(loaded_methods())}",
        )
    meant = unknown_method(published.method)
    if meant is not None and published.method != "mlx":
        raise StoredOtherwiseError(
            f"quantization_config.quant_method is {published.method!r}, which transformers does not know",
            hint=" ".join(filter(None, (meant, f"known: {', '.join(loaded_methods())}"))),
        )
    raise StoredOtherwiseError(
        f"the checkpoint is stored in {published.title}, which has no dry run: its layers are not known here",
        hint="`inspector memory --scheme stored` weighs its files",
    )


def not_trained(published: Published, *, full: bool) -> StoredOtherwiseError:
    """What transformers' Trainer says of weights that do not train."""
    if full:
        return StoredOtherwiseError(
            f"the checkpoint is quantized ({published.title}): transformers trains adapters on it, not its weights",
            hint="use --method lora, or name the unquantized model",
        )
    if published.method not in DEQUANTIZE:
        return StoredOtherwiseError(
            f"transformers does not train on top of {published.title}", hint="name the unquantized model"
        )
    return StoredOtherwiseError(
        f"transformers does not train on top of {published.title} but after --scheme none, which dequantizes it on"
        " loading",
        hint="or name the unquantized model",
    )


def trains_as_stored(published: Published) -> bool:
    """Whether adapters train on the packed weights.

    That is ``is_trainable`` of transformers' quantizers, and what PEFT finds there. MXFP4 has no backward pass. PEFT
    calls a model's ``forward`` past its hooks, so compressed-tensors does not decompress under it
    (peft/tuners/tuners_utils.py, ``BaseTuner.forward``). Of torchao only 8 bits train, and float8 activations, which
    transformers would let train, have no derivative (PyTorch 2.13: "derivative for aten::_scaled_mm").
    """
    if published.method == "torchao":
        return published.torchao_kind in {"int8wo", "int8dq", "float8wo"}
    return published.method not in {"mxfp4", "compressed-tensors"}


def _as_stored(published: Published, asked: str) -> Any:
    """The checkpoint's own format, where it was asked for by name or where transformers takes it instead."""
    if asked in {published.method, "none"}:
        return published.method
    # Of the same class: transformers warns, and takes the checkpoint's own config.
    if asked in ON_LOADING and published.method == "bitsandbytes":
        return published.method
    what = "a BitsAndBytesConfig" if asked in ON_LOADING else asked
    raise StoredOtherwiseError(
        f"the checkpoint is quantized already ({published.title}): transformers refuses {what} on top of it",
        hint="leave --scheme and --bits out to load it as it is stored, or name the unquantized model",
    )


def _check_dequantizes(published: Published) -> None:
    if published.method not in DEQUANTIZE:
        raise StoredOtherwiseError(
            f"the checkpoint is quantized already ({published.title}), and is not loaded in 16 bits",
            hint="leave --scheme and --bits out to load it as it is stored, or name the unquantized model",
        )


def _check_plain(scheme: str) -> None:
    if scheme not in {*ON_LOADING, "none"}:
        raise StoredOtherwiseError(
            f"the config has no quantization_config: this model is not stored in {scheme}",
            hint="point at the quantized checkpoint, or use --scheme nf4",
        )
