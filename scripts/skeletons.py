"""`make skeletons`: make the data read off the installed libraries anew: skeletons and PEFT's tables."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from inspector.architecture import build_skeleton
from inspector.files import write_text
from inspector.lora.matching import PEFT_TABLES
from inspector.skeleton.json_form import dumps
from inspector.sources.bundled import CONFIGS, bundled_config, model_ids, skeleton_path

if TYPE_CHECKING:
    from inspector.skeleton import Skeleton


def rebuilt(model_id: str) -> Skeleton:
    """A bundled model's skeleton, freshly built from its config."""
    skeleton = build_skeleton(bundled_config(model_id), model_id=model_id, source="bundled")
    return replace(skeleton, notes=(*skeleton.notes, *_hub_notes(model_id)))


def _hub_notes(model_id: str) -> list[str]:
    """Why the hub's total differs from ours, where it does; found out when the config was verified."""
    row = next(row for row in json.loads((CONFIGS / "index.json").read_text(encoding="utf-8")) if row["id"] == model_id)
    if row["match"] != "exact after adjustment":
        return []
    reason = row["notes"].partition(" | ")[0].partition(": ")[2].partition(". ")[0].partition(";")[0].rstrip(".")
    reason = reason.removeprefix("Hub total ").removeprefix("= our parameters ")
    return [f"the hub counts {row['params_published']:,} parameters: {reason}"]


def peft_tables() -> dict[str, Any]:
    """What `inspector.lora` needs to know of PEFT: default targets, and how it renames targets of fused experts."""
    import inspect

    import peft
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
    from peft.utils import transformers_weight_conversion as conversion
    from peft.utils.constants import EMBEDDING_LAYER_NAMES, TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING

    moe = {
        model_type: {
            "targets": conversion._MOE_TARGET_MODULE_MAPPING[pattern],
            "fused": conversion._MOE_FUSED_TARGETS.get(pattern, {}),
        }
        for model_type, pattern in conversion._MODEL_TO_CONVERSION_PATTERN.items()
        if conversion._MOE_FUSED_TARGETS.get(pattern)
    }
    return {
        "built_with": f"peft {peft.__version__}",
        "default_targets": TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING,
        "embedding_layer_names": EMBEDDING_LAYER_NAMES,
        "config_fields": {
            kind.value: sorted(set(inspect.signature(config).parameters) - {"runtime_config"})
            for kind, config in PEFT_TYPE_TO_CONFIG_MAPPING.items()
        },
        "moe": moe,
    }


def main() -> None:
    """Write PEFT's tables and all skeletons."""
    from rich.console import Console
    from rich.progress import track

    write_text(PEFT_TABLES, json.dumps(peft_tables(), indent=1) + "\n")
    for model_id in track(
        model_ids(), "Building skeletons", console=Console(stderr=True), disable=not sys.stderr.isatty()
    ):
        write_text(skeleton_path(model_id), dumps(rebuilt(model_id)))


if __name__ == "__main__":
    main()
