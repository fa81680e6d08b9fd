"""What the files of a quantized checkpoint hold, held against the layers that its config asks for.

Such a checkpoint is loaded by our layers (`stored_models`), and so what transformers says of names and shapes that do
not fit is said here, by its own report.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from inspector.errors import InspectorError
from inspector.simulate.script.child.errors import handed_on
from inspector.sources.folder import read_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inspector.checkpoint import FileTensor

Held = dict[str, "FileTensor"]
"""The tensors of a checkpoint's files, by name."""

BY_NAME = frozenset({"gptq", "awq", "fp8", "compressed-tensors"})
"""Formats whose layers here have the names and shapes of the files; those of the others are made from them."""


def held_in(name: str, kwargs: Mapping[str, Any]) -> Held:
    """By the headers of a folder's files; empty for one with a config alone.

    A file that is broken is not read here: whoever needs its weights says so.
    """
    folder = Path(name) / (kwargs.get("subfolder") or "")
    try:
        found = read_folder(folder) if folder.is_dir() else None
    except InspectorError:
        return {}
    return {} if found is None else {tensor.name: tensor for tensor in found.tensors}


def dtype_of(held: Held) -> str:
    """What ``dtype="auto"`` is where the config names none; "" without files.

    Source: transformers/modeling_utils.py, ``get_state_dict_dtype``: the first float that a model can be made in.
    """
    floats = (tensor.dtype for tensor in held.values() if tensor.dtype in {"float32", "float16", "bfloat16", "float64"})
    return next(floats, "")


def check(model: Any, held: Held, name: str, *, plain: bool, ignore_mismatched_sizes: bool) -> None:
    """Transformers' report of what does not fit, and its refusal of other shapes; before the model is filled.

    ``plain`` says that the layers are dequantized on loading: then the files hold other names.
    Source: transformers/core_model_loading.py, ``convert_and_load_state_dict_in_model``, ``set_param_for_module``.
    """
    from transformers import modeling_utils
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import WeightConverter, WeightRenaming, rename_source_key
    from transformers.utils.loading_report import LoadStateDictInfo, log_state_dict_report

    mapping = get_model_conversion_mapping(model)
    renamed = [each for each in mapping if isinstance(each, WeightRenaming)]
    converted = [each for each in mapping if isinstance(each, WeightConverter)]
    wanted = model.state_dict()
    found = {}
    for key, tensor in held.items():
        target, pattern = rename_source_key(key, renamed, converted, model.base_model_prefix, wanted)
        if pattern is None and target in wanted:
            found[target] = tensor
    # Experts are joined under other names by conversions of each format's own: of theirs nothing is said.
    missing = {key for key in wanted.keys() - found.keys() if not plain and ".experts." not in key}
    missing -= set(getattr(model, "all_tied_weights_keys", None) or ())
    info = LoadStateDictInfo(
        missing_keys=missing,
        unexpected_keys=set(),
        mismatched_keys={
            (key, tensor.shape, tuple(wanted[key].shape))
            for key, tensor in found.items()
            if tuple(wanted[key].shape) != tensor.shape
        },
        error_msgs=[],
        conversion_errors={},
        skipped_pp_keys=set(),
    )
    model._adjust_missing_and_unexpected_keys(info)
    handed_on(log_state_dict_report, model, name, ignore_mismatched_sizes, info, modeling_utils.logger)
