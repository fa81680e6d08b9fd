"""What is done for single libraries, each as it is imported."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import _disable_current_modes

from inspector.simulate.script.child import stored_models
from inspector.simulate.script.child.errors import handed_on
from inspector.simulate.script.child.replaced import replace

if TYPE_CHECKING:
    from types import ModuleType

    from inspector.simulate.script.child.hub import Hub
    from inspector.simulate.script.child.world import World

aten = torch.ops.aten


def install(world: World, hub: Hub) -> None:
    """Wait for them."""
    world.imports.around["bitsandbytes"] = world.cuda.out_of_sight
    world.imports.then("bitsandbytes", lambda _: _bitsandbytes(world))
    world.imports.then("transformers.integrations.moe", lambda module: _experts(world, module))
    world.imports.then("transformers.tokenization_utils_tokenizers", lambda module: _tokenizers(world, module))
    world.imports.then("transformers.modeling_utils", lambda module: _models(world, hub, module))
    world.imports.then("peft.utils.other", lambda module: _prepared(world, module))
    world.imports.then("peft.peft_model", lambda module: _adapters(world, module))
    world.imports.then("peft.tuners.tuners_utils", lambda module: _tuners(world, module))
    world.imports.then("transformers.generation.utils", lambda module: _generation(world, module))


def _bitsandbytes(world: World) -> None:
    """Its operators as the CUDA backend runs them, and optimizers whose kernels do nothing."""
    from inspector.simulate.device.bitsandbytes import bitsandbytes_operators

    kernels: Any = world.kernels
    kernels.replaced.update(bitsandbytes_operators(world.device))

    def get_paged(*shape: int, dtype: torch.dtype = torch.float32, device: object = None) -> torch.Tensor:
        # Unseen by the tracer, or managed memory would be counted among the allocator's blocks.
        with _disable_current_modes():
            out = torch.empty(shape, dtype=dtype, device="meta")
        del device
        world.tracer.page(out)
        out.is_paged = True  # type: ignore[attr-defined]
        out.page_deviceid = 0  # type: ignore[attr-defined]
        return out

    functional = "bitsandbytes.functional"
    replace(f"{functional}.get_paged", get_paged)
    replace(f"{functional}.fill", lambda *_, **__: None)
    replace(f"{functional}.prefetch_tensor", lambda *_, **__: None)
    replace(f"{functional}.is_on_gpu", lambda _tensors: True)


def _tokenizers(world: World, module: ModuleType) -> None:
    """Its files are opened by compiled code, by the names that it is given."""
    real: Any = module.TokenizerFast
    scratch = world.scratch

    class Tokenizers(type):
        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, real)

        def __getattr__(cls, name: str) -> Any:
            return getattr(real, name)

        def __call__(cls, *args: object, **kwargs: object) -> Any:
            return handed_on(real, *args, **kwargs)

    class TokenizerFast(metaclass=Tokenizers):
        """The library's class, with names looked up in the scratch folder."""

        @staticmethod
        def from_file(path: str | os.PathLike[str]) -> Any:
            return real.from_file(str(scratch.to_read(path)))

    place = "transformers.tokenization_utils_tokenizers"
    replace(f"{place}.TokenizerFast", TokenizerFast)
    backend: Any = module.TokenizersBackend
    save = backend._save_pretrained

    def saved(self: Any, save_directory: str | os.PathLike[str], *args: object, **kwargs: object) -> Any:
        where = scratch.to_write(save_directory)
        os.makedirs(where, exist_ok=True)
        return tuple(scratch.origin(path) for path in handed_on(save, self, where, *args, **kwargs))

    replace(f"{place}.TokenizersBackend._save_pretrained", saved)


def _models(world: World, hub: Hub, module: ModuleType) -> None:
    model = module.PreTrainedModel
    replace("transformers.modeling_utils.PreTrainedModel.save_pretrained",
            world.stages.holding("save", model.save_pretrained))  # fmt: skip
    load = stored_models.loading(world, hub, model.from_pretrained.__func__)
    replace("transformers.modeling_utils.PreTrainedModel.from_pretrained",
            classmethod(world.stages.holding("load", load)))  # fmt: skip


def _prepared(world: World, module: ModuleType) -> None:
    held = world.stages.holding("adapters", module.prepare_model_for_kbit_training)
    replace("peft.utils.other.prepare_model_for_kbit_training", held)


def _adapters(world: World, module: ModuleType) -> None:
    for name in ("__init__", "add_adapter", "load_adapter"):
        held = world.stages.holding("adapters", getattr(module.PeftModel, name))
        replace(f"peft.peft_model.PeftModel.{name}", held)
    replace("peft.peft_model.PeftModel.save_pretrained",
            world.stages.holding("save", module.PeftModel.save_pretrained))  # fmt: skip


def _tuners(world: World, module: ModuleType) -> None:
    """Also where a model adds adapters to itself; and merging, which makes and adds each product."""
    for name in ("inject_adapter", "merge_and_unload", "unload", "merge_adapter"):
        real = getattr(module.BaseTuner, name)
        held = world.stages.holding("adapters", stored_models.adapted(real) if name == "inject_adapter" else real)
        replace(f"peft.tuners.tuners_utils.BaseTuner.{name}", held)


def _experts(world: World, module: ModuleType) -> None:
    from inspector.simulate.device.kernels import has_grouped_mm

    original = module._can_use_grouped_mm

    def can(*args: object, **kwargs: object) -> bool:
        return world.device.ask(has_grouped_mm) and bool(handed_on(original, *args, **kwargs))

    replace("transformers.integrations.moe._can_use_grouped_mm", can)


def _generation(world: World, module: ModuleType) -> None:
    mixin = module.GenerationMixin

    def generate(self: Any, *args: object, **kwargs: object) -> Any:
        config = kwargs.get("generation_config") or getattr(self, "generation_config", None)
        for ends in (kwargs.get("eos_token_id"), getattr(config, "eos_token_id", None)):
            if ends is not None:
                several: Any = ends if isinstance(ends, (list, tuple)) else [ends]
                world.policies.ends |= set(several)
        world.policies.note("generation takes the first token that ends nothing, and so is as long as it may be",
                            world.tracer.line())  # fmt: skip
        return handed_on(original, self, *args, **kwargs)

    finish = mixin._update_finished_beams

    def finished(self: Any, *args: object, **kwargs: Any) -> Any:
        """Of scores that are not known the first are best: those that have just ended, not the empty ones before."""
        sequences, scores, indices, ended = handed_on(finish, self, *args, **kwargs)
        hits = world.tracer._known(kwargs["next_token_hits_stopping_criteria"])
        count = kwargs["num_beams"]
        for row, hit in enumerate(() if hits is None else hits):
            if bool(hit[:count].all()):
                sequences[row].copy_(kwargs["topk_running_sequences"][row, :count])
                indices[row].copy_(kwargs["topk_running_beam_indices"][row, :count])
                ended[row].fill_(True)
        return sequences, scores, indices, ended

    goes_on = mixin._check_early_stop_heuristic

    def going_on(*args: object, **kwargs: object) -> Any:
        """Any score is above that of a beam that has not ended (-1e9)."""
        said = handed_on(goes_on, *args, **kwargs)
        said.fill_(True)
        return said

    replace("transformers.generation.utils.GenerationMixin._update_finished_beams", finished)
    replace("transformers.generation.utils.GenerationMixin._check_early_stop_heuristic", staticmethod(going_on))
    original = mixin.generate
    replace("transformers.generation.utils.GenerationMixin.generate", world.stages.holding("generation", generate))
