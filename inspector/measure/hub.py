"""Real weights from the Hugging Face hub: its own client, safetensors only, four different reasons for a failure."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from inspector.errors import InspectorError

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo

INDEX = "model.safetensors.index.json"


def download(model: str) -> Path:
    """The folder of a model's safetensors, fetched by ``huggingface_hub`` into its own cache, one shard after another.

    Only what the index names, where there is one. An interrupted download leaves whole shards, which are not fetched
    again, and the hub's own note of the one it was at.

    Raises InspectorError when the hub cannot be reached, has no such model, or gates it.
    """
    import os

    from huggingface_hub import HfApi, constants, errors

    from inspector.sources.bundled import find

    name = find(model) or model
    # The constant is read once, when the library is imported; the variable may have been set since.
    if constants.HF_HUB_OFFLINE or os.environ.get("HF_HUB_OFFLINE", "").upper() in constants.ENV_VARS_TRUE_VALUES:
        raise InspectorError("the hub is switched off by HF_HUB_OFFLINE", hint="unset it, or give a folder")
    try:
        return _fetched(name, HfApi().model_info(name, revision="main"))
    except errors.HFValidationError:
        raise InspectorError(f"{name} is no name of a model on the hub", hint="give its folder") from None
    # Before the missing ones: a gated repository's error is a kind of theirs (huggingface_hub/errors.py).
    except errors.GatedRepoError:
        raise InspectorError(
            f"{name} is gated", hint="ask for access on its page, then `hf auth login`; or give a folder"
        ) from None
    except errors.RepositoryNotFoundError:
        raise InspectorError(f"the hub has no model {name}, or hides it from you", hint="check the name") from None
    except (errors.HfHubHTTPError, errors.LocalEntryNotFoundError, OSError) as error:
        raise InspectorError(f"the hub cannot be reached: {type(error).__name__}", hint="give a folder") from None


def _fetched(name: str, info: ModelInfo) -> Path:
    from huggingface_hub import hf_hub_download

    from inspector.files import read_json_object

    # Transformers looks for weights at the top of a repository only.
    found = [each.rfilename for each in info.siblings or () if "/" not in each.rfilename]
    shards = sorted(file for file in found if file.endswith(".safetensors"))
    if not shards:
        raise InspectorError(f"{name} has no safetensors on the hub", hint="pickled checkpoints are not loaded")
    # Some repositories hold the weights twice (Mistral's ``consolidated.safetensors``): the index names one set.
    if INDEX in found:
        index = Path(hf_hub_download(name, INDEX, revision=info.sha))
        named = read_json_object(index).get("weight_map")
        shards = sorted(set(named.values()) & set(shards)) if isinstance(named, dict) else shards
    # By the commit and not by ``main``, which may move between two shards.
    paths = [Path(hf_hub_download(name, shard, revision=info.sha)) for shard in shards]
    return paths[0].parent
