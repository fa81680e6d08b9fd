"""The class that a trainer loads a checkpoint as, where it is not that of its config."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inspector.errors import CannotSimulateError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inspector.simulate.setup.objective import ObjectiveSetup


def of_its_class(config: Mapping[str, Any], setup: ObjectiveSetup | None) -> Mapping[str, Any]:
    """The config as the trainer loads it: of a reward model the class that scores a sequence, or each of its tokens.

    Sources: trl/trainer/reward_trainer.py, 1.16, ``create_model_from_path(..., num_labels=1)``, and
    trl/experimental/prm/prm_trainer.py, 1.13, the last release that has it (``AutoModelForTokenClassification``).
    Raises CannotSimulateError where transformers has no such class.
    """
    if setup is None or setup.kind not in {"reward", "prm"}:
        return config
    return scoring(config) if setup.kind == "reward" else judging(config)


def scoring(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """As a model that scores a sequence, with one label. Raises CannotSimulateError where transformers has none."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES

    cls = MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES.get(str(config.get("model_type")))
    if cls is None:
        raise CannotSimulateError(f"transformers has no {config.get('model_type')} model that scores a sequence")
    return {**config, "architectures": [cls], "num_labels": 1, "id2label": {"0": "LABEL_0"}}


def judging(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """As a model that says of each token whether a step is right. Raises CannotSimulateError as above."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES

    cls = MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES.get(str(config.get("model_type")))
    if cls is None:
        raise CannotSimulateError(f"transformers has no {config.get('model_type')} model that judges tokens")
    return {**config, "architectures": [cls], "num_labels": 2, "id2label": {"0": "LABEL_0", "1": "LABEL_1"}}
