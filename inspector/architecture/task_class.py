"""The class that a base model is loaded as for an adapter's task: a classifier's base is no causal model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inspector.architecture.libraries import need

if TYPE_CHECKING:
    from collections.abc import Mapping

_AUTO = {
    "SEQ_CLS": "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES",
    "TOKEN_CLS": "MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES",
    "QUESTION_ANS": "MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES",
    "FEATURE_EXTRACTION": "MODEL_MAPPING_NAMES",
}
"""``peft.TaskType`` whose heads are put on a base that was saved with another; transformers' own tables."""

_MOST_LABELS = 100_000
"""More than any head that was published; a name is made for each."""


def for_task(config: Mapping[str, Any], task: object, labels: int | None) -> dict[str, Any]:
    """A base model's config with the class that the task's Auto class loads, and a head of so many labels.

    A config whose own class is one of the task, or whose task has no class of its own, comes back as it is.
    """
    if not isinstance(task, str) or task not in _AUTO:
        return dict(config)
    need("transformers")
    from transformers.models.auto import modeling_auto

    found = getattr(modeling_auto, _AUTO[task]).get(config.get("model_type"))
    names = list(found) if isinstance(found, (list, tuple)) else [found] if found else []
    own = config.get("architectures")
    if not names or (isinstance(own, list) and set(own) & set(names)):
        return dict(config)
    made = {**config, "architectures": names[:1]}
    if task in {"SEQ_CLS", "TOKEN_CLS"} and labels is not None and 0 < labels <= _MOST_LABELS:
        made["id2label"] = {str(number): f"LABEL_{number}" for number in range(labels)}
        made.pop("label2id", None)
    return made
