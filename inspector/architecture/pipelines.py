"""A diffusers model as a `Skeleton`, through its own class on the meta device. Imports torch and diffusers."""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from inspector.architecture.libraries import need
from inspector.architecture.limits import bounded
from inspector.architecture.meta_model import config_mistakes
from inspector.architecture.offline import closed, without_runtime
from inspector.architecture.own_random import own_random_numbers
from inspector.architecture.parts import part_of
from inspector.architecture.quiet import quiet
from inspector.architecture.read import layer_of, read_skeleton, tensors_of
from inspector.architecture.sanity import check_sizes
from inspector.errors import InspectorError
from inspector.skeleton import ConfigFacts, Module, Pinned, Skeleton

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import nn
    from transformers import PretrainedConfig, PreTrainedModel

EXTRA = "pip install 'llm-inspector[diffusers]'"


def diffusers_skeleton(config: Mapping[str, Any], cls: str, *, model_id: str, source: str = "") -> Skeleton:
    """The skeleton of a diffusers model's ``config.json``.

    ``cls`` is the class's name. Raises InspectorError when diffusers is not installed or has no such model, and for a
    config that the class refuses.
    """
    check_sizes(config)
    need("torch", "transformers")
    model_type = _model_class(cls)
    # What begins with an underscore (_class_name, _diffusers_version) is about the file, not the model.
    content = {name: value for name, value in without_runtime(dict(config)).items() if not name.startswith("_")}
    import torch

    with quiet(), closed(), own_random_numbers(), config_mistakes(cls, config), bounded(), torch.device("meta"):
        model = model_type.from_config(content)
    kept = tuple(model_type._keep_in_fp32_modules or ())

    def pinned(name: str, tensor: torch.Tensor, _persistent: bool) -> Pinned:
        # What a model keeps in float32 stays so whatever is asked for: model_loading_utils.py of diffusers,
        # `load_model_dict_into_meta`.
        return "always" if not tensor.is_floating_point() or _is_kept(name, kept) else "never"

    return Skeleton(
        model_id=model_id,
        architecture=cls,
        facts=ConfigFacts(model_type="diffusers", num_layers=_layers(config)),
        modules=tuple(_modules(model, kept)),
        tensors=tuple(tensors_of(model, pinned)),
        source=source,
        built_with=f"diffusers {importlib.import_module('diffusers').__version__}",
    )


def checker_skeleton(config: Mapping[str, Any], cls: str, *, model_id: str, source: str = "") -> Skeleton:
    """The safety checker of Stable Diffusion: a transformers model whose class is in diffusers. Errors as above."""
    check_sizes(config)
    need("torch", "transformers")
    diffusers = _diffusers(cls)
    content = without_runtime(dict(config))
    with quiet(), closed(), own_random_numbers(), config_mistakes(cls, config), bounded():
        safety: Any = importlib.import_module("diffusers.pipelines.stable_diffusion.safety_checker")
        if cls != "StableDiffusionSafetyChecker":
            raise InspectorError(f"diffusers {diffusers.__version__} has no model {cls[:60]!r} in Stable Diffusion")
        parsed = safety.CLIPConfig.from_dict(content)
        full, half = (_checker(safety.StableDiffusionSafetyChecker, parsed, name) for name in ("float32", "bfloat16"))
    return read_skeleton(full, half, model_id=model_id, source=source)


def _checker(cls: type[PreTrainedModel], parsed: PretrainedConfig, dtype: str) -> PreTrainedModel:
    import torch

    from inspector.architecture.default_dtype import own_default_dtype

    with own_default_dtype(), torch.device("meta"):
        return cls._from_config(parsed, dtype=getattr(torch, dtype))


def _diffusers(name: str) -> Any:
    """The package. Raises InspectorError when it is not installed."""
    if find_spec("diffusers") is None:
        raise InspectorError(f"{name} is a diffusers model, and diffusers is not installed", hint=EXTRA)
    with quiet(), closed(), config_mistakes(name, {}):
        diffusers: Any = importlib.import_module("diffusers")
    return diffusers


def _model_class(name: str) -> Any:
    """The class of that name in diffusers, if it is a model."""
    diffusers = _diffusers(name)
    with quiet(), closed(), config_mistakes(name, {}):
        found = getattr(diffusers, name, None)
    if not (isinstance(found, type) and issubclass(found, diffusers.ModelMixin)):
        raise InspectorError(f"diffusers {diffusers.__version__} has no model {name[:60]!r}")
    return found


def _modules(model: nn.Module, kept: tuple[str, ...]) -> Iterator[Module]:
    from torch import nn

    bases: tuple[type, ...] = (nn.Linear, nn.Embedding, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    stacks = {f"{path}." for path, module in model.named_modules() if isinstance(module, nn.ModuleList)}
    for path, module in model.named_modules():
        base = next((base.__name__ for base in bases if isinstance(module, base)), "")
        layer = layer_of(path, stacks)
        cls = type(module).__name__
        yield Module(path, cls, part_of(path, cls, base, layer, ""), layer, base, keep=_is_kept(path, kept))


def _is_kept(path: str, kept: tuple[str, ...]) -> bool:
    return any(name in path.split(".") for name in kept)


def _layers(config: Mapping[str, Any]) -> int:
    value = config.get("num_layers")
    return value if isinstance(value, int) else 0
