"""Which config classes of the installed transformers become a skeleton, by which class, and why the others do not.

Run it as ``python benchmarks/classes.py [TYPE ...]``. It takes about two minutes for all of them, on one core.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "simulate"))

from families import OVERRIDES, families

from inspector.architecture import build_skeleton
from inspector.errors import InspectorError
from inspector.lenses.layers import layers
from inspector.lenses.memory import memory
from inspector.lora import lora
from inspector.precision import chosen_schemes

_SERIES = {"prediction_length": 24}
VALID: dict[str, dict[str, Any]] = {
    **OVERRIDES,
    "autoformer": _SERIES,
    "informer": _SERIES,
    "time_series_transformer": _SERIES,
    "chameleon": {"vocabulary_map": {"<image>": 4}},
    "emu3": {"vocabulary_map": {"<image>": 4}},
    "esm": {"vocab_size": 33, "pad_token_id": 1, "mask_token_id": 32},
    "cohere_compass": {"text_config": {"model_type": "cohere_compass_text", **OVERRIDES["cohere_compass_text"]}},
    "gemma4_assistant": {"text_config": {"model_type": "gemma4_text", "hidden_size_per_layer_input": 0}},
    "hunyuan_vl": {"text_config": {"model_type": "hunyuan_vl_text", "head_dim": 128}},
    "hunyuan_vl_text": {"head_dim": 128},
    "diffusion_gemma_text": {"num_experts": 8, "top_k_experts": 2, "moe_intermediate_size": 64},
}
"""Fields that a type's default config leaves out and its own class needs."""


def config_of(model_type: str) -> dict[str, Any]:
    """The type's default config as a ``config.json`` would say it."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    config = CONFIG_MAPPING[model_type](**VALID.get(model_type, {})).to_dict()
    plain: dict[str, Any] = json.loads(json.dumps({**config, "model_type": model_type}, default=str))
    return plain


def attempt(model_type: str) -> tuple[str, str]:
    """The class it was built as, or ""; and what is wrong, or "". Lenses are tried on what was built."""
    try:
        config = config_of(model_type)
    except Exception as error:  # noqa: BLE001 -- whatever the library's own default raises is the answer here
        return "", f"transformers' default config is refused by itself: {_line(error)}"
    try:
        skeleton = build_skeleton(config, model_id=model_type)
    except InspectorError as error:
        return "", error.message
    except Exception as error:  # noqa: BLE001 -- a bug of ours, to be seen among the others
        return "", f"BUG: {_line(error)}"
    try:
        layers(skeleton)
        memory(skeleton, chosen_schemes())
        lora(skeleton)
    except InspectorError as error:
        return skeleton.architecture, f"no lens: {error.message}"
    return skeleton.architecture, ""


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:160]


def main() -> None:
    """Try every type, print those that fail, the classes' kinds and the counts."""
    import warnings

    from transformers.models.auto.configuration_auto import CONFIG_MAPPING
    from transformers.utils import logging

    warnings.simplefilter("ignore")
    logging.set_verbosity(logging.CRITICAL)
    started = time.monotonic()
    chosen = sys.argv[1:] or list(CONFIG_MAPPING)
    causal = set(families())
    built, failed, kinds = [], {}, Counter[str]()
    for model_type in chosen:
        cls, reason = attempt(model_type)
        if cls:
            built.append(model_type)
            kinds[cls[cls.find("For") :] if "For" in cls else "base model"] += 1
        if reason:
            failed[model_type] = reason
            print(f"{'built, but' if cls else 'not built'}: {model_type}: {reason}")
        elif len(chosen) < 20:
            print(f"{model_type}: {cls}")
    print(", ".join(f"{count} {kind}" for kind, count in kinds.most_common()))
    causal_built = len(causal.intersection(built))
    print(
        f"{len(built)} of {len(chosen)} config classes are a skeleton, {causal_built} of {len(causal)} "
        f"causal-LM types; {time.monotonic() - started:.0f} s"
    )


if __name__ == "__main__":
    main()
