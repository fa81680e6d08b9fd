"""What PEFT itself does with a saved adapter on a base model: both on the meta device, of the adapter the header alone.

Sources, in peft: ``PeftModel.from_pretrained`` and ``load_adapter`` (``peft_model.py``), ``set_peft_model_state_dict``
(``utils/save_and_load.py``), ``_unload_and_optionally_merge`` (``tuners/tuners_utils.py``).
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inspector.architecture.libraries import need
from inspector.architecture.limits import bounded
from inspector.architecture.meta_model import build_config, build_model
from inspector.architecture.offline import closed
from inspector.architecture.own_random import own_random_numbers
from inspector.architecture.peft_warnings import heard
from inspector.architecture.quantized_base import merging_there, quantized
from inspector.architecture.quiet import quiet
from inspector.errors import InspectorError, in_one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from peft import PeftModel
    from torch import Tensor

    from inspector.architecture.quantized_base import QuantizedBase

Shape = tuple[int, ...]
Stored = tuple[Shape, str]
"""Shape and dtype, by torch's name, of a tensor in the file."""

_NAME = "default"
"""The name that ``from_pretrained`` gives an adapter."""

_SHARED = ("vblora_vector_bank", "prompt_encoder", ".tinylora_v.")
"""Every layer's own name for what all share, of which ``from_pretrained`` does not warn (``is_shared_parameter``)."""

_SIZES = re.compile(
    r"size mismatch for (.+?): copying a param with shape torch\.Size\(\[([\d, ]*)\]\) from checkpoint, "
    r"the shape in current model is torch\.Size\(\[([\d, ]*)\]\)"
)


@dataclass(frozen=True, slots=True)
class Misfit:
    """A stored tensor whose shape is not the model's. ``vocabulary`` says that it is of the embedding or the head."""

    name: str
    stored: Shape
    wanted: Shape
    vocabulary: bool


@dataclass(frozen=True, slots=True)
class Size:
    """Parameters of a model, shared ones once, and whether its embedding and head share theirs."""

    parameters: int
    tied: bool


@dataclass(frozen=True, slots=True)
class LoadAnswer:
    """What ``PeftModel.from_pretrained`` answers.

    ``refused`` is the error before any tensor was looked at; ``absent`` are keys it looks up in vain, which is an error
    too, as ``misfits`` are. ``missing`` tensors bring a warning, ``ignored`` ones none. ``cast`` names tensors with the
    dtype in the file and the one they get. ``model`` is the class of the base, ``size`` its own and ``merged`` what
    ``merge_and_unload`` makes of it; None where that fails, with what PEFT says in ``unmerged``, or nothing was loaded.
    ``merge_warnings`` are PEFT's on merging into a quantized base.
    """

    peft: str
    model: str
    size: Size
    warnings: tuple[str, ...] = ()
    refused: str = ""
    absent: tuple[str, ...] = ()
    misfits: tuple[Misfit, ...] = ()
    missing: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    cast: tuple[tuple[str, str, str], ...] = ()
    merged: Size | None = None
    unmerged: str = ""
    merge_warnings: tuple[str, ...] = ()

    @property
    def loads(self) -> bool:
        """Whether PEFT ends without an error."""
        return not (self.refused or self.absent or self.misfits)


def load_answer(
    config: Mapping[str, Any],
    adapter: Mapping[str, Any],
    stored: Mapping[str, Stored],
    loaded: QuantizedBase | None = None,
) -> LoadAnswer:
    """Load an adapter onto the model of a ``config.json`` as PEFT does, without weights.

    Args:
        config: the base model's, its class the one that the adapter's task is loaded as (`for_task`).
        adapter: the content of ``adapter_config.json``, which `inspector.lora.saved_config` found safe to try.
        stored: the tensors of ``adapter_model.safetensors``.
        loaded: how the base is quantized, where it is.

    Raises:
        InspectorError: when the base model cannot be built.
    """
    need("torch", "peft")
    import peft

    parsed = build_config(config)
    dtype = str(getattr(parsed, "dtype", None) or "float32").removeprefix("torch.")
    model: Any = build_model(parsed, dtype, said=config)
    found: dict[str, Any] = {"peft": peft.__version__, "model": type(model).__name__, "size": _size(model)}
    # As `build_model` builds: quiet, without a network or the caller's random numbers.
    with quiet(), closed(), own_random_numbers(), bounded(), heard() as said:
        if loaded is not None:
            quantized(model, loaded)
        try:
            wrapped = _wrapped(model, adapter)
        except InspectorError:
            raise
        except NotImplementedError as error:  # what meta tensors cannot do
            raise InspectorError(f"PEFT looks at weights to load this adapter: {in_one_line(error, 80)}") from error
        except Exception as error:  # noqa: BLE001 -- whatever it is, PEFT's user gets the same
            refused = f"{type(error).__name__}: {in_one_line(error)}"
            return LoadAnswer(**found, warnings=tuple(said), refused=refused)
        # What is said from here on is of our own ways: of sizes that we let pass, and of merging.
        found["warnings"] = tuple(said)
        found |= _tensors(wrapped, stored)
        if not found["absent"] and not found["misfits"]:
            found |= _merged_into(wrapped, loaded) if loaded else _merged(wrapped)
            if loaded and not found["unmerged"]:
                # Sizes are logical, and merging keeps the format: those of the plain model merged.
                found |= _merged(_wrapped(build_model(parsed, dtype, said=config), adapter))
    return LoadAnswer(**found)


def _wrapped(model: Any, adapter: Mapping[str, Any]) -> Any:
    """The model with fresh adapters of that config; on meta (``low_cpu_mem_usage``), where nothing is initialised."""
    import torch
    from peft import PeftModel
    from peft.auto import MODEL_TYPE_TO_PEFT_MODEL_MAPPING
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    # A config file's runtime_config is dropped by PEFT too.
    said = {name: value for name, value in adapter.items() if name != "runtime_config"}
    cls = PEFT_TYPE_TO_CONFIG_MAPPING[said["peft_type"]]
    config = cls.from_peft_type(**cls.check_kwargs(**said))
    config.inference_mode = True
    if isinstance(getattr(config, "init_lora_weights", None), str):
        config.init_lora_weights = True  # the others decompose the base's weights, which meta has none of
    wrapper = MODEL_TYPE_TO_PEFT_MODEL_MAPPING.get(config.task_type, PeftModel)
    with torch.device("meta"):
        return wrapper(model, config, _NAME, low_cpu_mem_usage=True)


def _tensors(wrapped: Any, stored: Mapping[str, Stored]) -> dict[str, Any]:
    """What becomes of every tensor: looked up in vain, of another shape, missing, ignored, of another dtype."""
    import torch
    from peft import set_peft_model_state_dict
    from peft.mapping import PEFT_TYPE_TO_PREFIX_MAPPING
    from peft.utils.other import AuxiliaryTrainingWrapper

    state = {
        name: torch.empty(shape, dtype=getattr(torch, dtype, torch.float32), device="meta")
        for name, (shape, dtype) in stored.items()
    }
    absent = []
    for path, module in wrapped.named_modules():
        for key in module.adapter_state_dict_load_map(_NAME) if isinstance(module, AuxiliaryTrainingWrapper) else ():
            if (name := f"{path}.{key}") not in state:
                absent.append(name)
                # As if it were there, so that the rest is judged too.
                inner = module.adapter_state_dict_load_map(_NAME)[key]
                state[name] = torch.empty_like(wrapped.state_dict()[f"{path}.{inner}"])
    prompt, of_prompt = _prompt(wrapped, state)
    absent += [name for name in prompt[:1] if name not in stored]
    try:
        set_peft_model_state_dict(wrapped, state, _NAME)
        misfits: list[tuple[str, Shape, Shape]] = []
    except RuntimeError as error:
        misfits = [(name, _shape(a), _shape(b)) for name, a, b in _SIZES.findall(str(error))]
        if not misfits:
            raise
    result = set_peft_model_state_dict(wrapped, state, _NAME, ignore_mismatched_sizes=True)
    # As `load_adapter` tells an adapter's own from the base's, which no adapter has to hold.
    prefix = PEFT_TYPE_TO_PREFIX_MAPPING.get(wrapped.peft_config[_NAME].peft_type, "")
    vocabulary = _vocabulary(wrapped)
    of_another_shape = {name for name, _, _ in misfits}
    saved = {_saved(name): (name, tensor) for name, tensor in wrapped.state_dict().items()}
    return {
        "absent": tuple(absent),
        "misfits": of_prompt
        + tuple(
            Misfit(_saved(name), a, b, vocabulary=_path(name) in vocabulary and _tokens_alone(name, a, b))
            for name, a, b in misfits
        ),
        "missing": tuple(
            _saved(name)
            for name in result.missing_keys
            if prefix in name
            and _NAME in name
            and name not in of_another_shape
            and not any(part in name for part in _SHARED)
        ),
        "ignored": tuple(name for name in result.unexpected_keys if name not in prompt),
        "cast": tuple(
            (name, dtype, to)
            for name, (_, dtype) in stored.items()
            if name in saved and (to := str(saved[name][1].dtype).removeprefix("torch.")) != dtype
        ),
    }


def _shape(text: str) -> Shape:
    return tuple(int(size) for size in text.split(",") if size.strip())


def _saved(name: str) -> str:
    """A name of the wrapped model as the file has it: without the adapter's name, a copy as the module itself."""
    return name.replace(f".modules_to_save.{_NAME}.", ".").replace(f".{_NAME}.", ".").removesuffix(f".{_NAME}")


_INNER = re.compile(r"\.(lora_|modules_to_save\.|original_module\.|base_layer\.|token_adapter\.|weight$|bias$)")


def _path(name: str) -> str:
    """The module that a tensor of the wrapped model is of, in the base model."""
    found = _INNER.search(name)
    return name[: found.start()] if found else name


def _tokens_alone(name: str, stored: Shape, wanted: Shape) -> bool:
    """Whether two shapes of an embedding's or a head's tensor differ in the axis of its tokens and in no other."""
    if "lora_A" in name or "lora_embedding_B" in name or len(stored) != len(wanted):
        return False
    tokens = 1 if "lora_embedding_A" in name else 0
    return [axis for axis in range(len(stored)) if stored[axis] != wanted[axis]] == [tokens]


def _prompt(wrapped: PeftModel, state: dict[str, Tensor]) -> tuple[tuple[str, ...], tuple[Misfit, ...]]:
    """The names that a prompt's encoder takes, its embeddings first, and those of another shape.

    It takes them strictly (``_load_adapter_state_dict``), and the model's own answer knows nothing of them: what does
    not fit is put right in ``state``, so that the rest is judged too.
    """
    import torch

    if not wrapped.peft_config[_NAME].is_prompt_learning:
        return (), ()
    encoder, name = wrapped.prompt_encoder[_NAME], "prompt_embeddings"
    wanted = getattr(getattr(encoder, "embedding", None), "weight", None)
    misfits: tuple[Misfit, ...] = ()
    if wanted is not None and (name not in state or state[name].shape != wanted.shape):
        if name in state:
            misfits = (Misfit(name, tuple(state[name].shape), tuple(wanted.shape), vocabulary=False),)
        state[name] = torch.empty_like(wanted)
    return (name, *encoder.state_dict()), misfits


def _vocabulary(wrapped: Any) -> set[str]:
    """Paths of the input embedding and the output head in the wrapped model, without what PEFT put around them."""
    base = wrapped.get_base_model()
    ends = set()
    for get in ("get_input_embeddings", "get_output_embeddings"):
        try:
            ends.add(id(getattr(base, get)()))
        except (AttributeError, NotImplementedError):
            continue
    return {_path(f"{name}.weight") for name, module in wrapped.named_modules() if id(module) in ends}


def _size(model: Any) -> Size:
    weights = []
    for get in ("get_input_embeddings", "get_output_embeddings"):
        with contextlib.suppress(AttributeError, NotImplementedError):
            weights.append(getattr(getattr(model, get)(), "weight", None))
    tied = len(weights) == 2 and weights[0] is not None and weights[0] is weights[1]
    return Size(sum(each.numel() for each in model.parameters()), tied)


def _merged_into(wrapped: Any, loaded: QuantizedBase) -> dict[str, Any]:
    unmerged, said = merging_there(wrapped, loaded)
    return {"unmerged": unmerged, "merge_warnings": said}


def _merged(wrapped: Any) -> dict[str, Any]:
    """What ``merge_and_unload`` makes of the model, or how it refuses."""
    try:
        return {"merged": _size(wrapped.merge_and_unload())}
    except Exception as error:  # noqa: BLE001 -- some methods cannot be merged, each in its own way
        return {"unmerged": in_one_line(error, 120)}
