"""Real weights from the Hugging Face hub: its own client, safetensors only, four different reasons for a failure."""

from __future__ import annotations

from pathlib import Path

from inspector.errors import InspectorError


def download(model: str) -> Path:
    """The folder of a model's safetensors, fetched by ``huggingface_hub`` into its own cache.

    Raises InspectorError when the hub cannot be reached, has no such model, or gates it.
    """
    import os

    from huggingface_hub import constants, errors, snapshot_download

    from inspector.sources.bundled import find

    name = find(model) or model
    if constants.HF_HUB_OFFLINE or os.environ.get("HF_HUB_OFFLINE", "").upper() in constants.ENV_VARS_TRUE_VALUES:
        raise InspectorError("the hub is switched off by HF_HUB_OFFLINE", hint="unset it, or give a folder")
    try:
        return Path(snapshot_download(name, allow_patterns=["*.safetensors", "*.safetensors.index.json"]))
    except errors.HFValidationError:
        raise InspectorError(f"{name} is no name of a model on the hub", hint="give its folder") from None
    except errors.GatedRepoError:
        raise InspectorError(
            f"{name} is gated", hint="ask for access on its page, then `hf auth login`; or give a folder"
        ) from None
    except errors.RepositoryNotFoundError:
        raise InspectorError(f"the hub has no model {name}, or hides it from you", hint="check the name") from None
    except (errors.HfHubHTTPError, errors.LocalEntryNotFoundError, OSError) as error:
        raise InspectorError(f"the hub cannot be reached: {type(error).__name__}", hint="give a folder") from None
