"""A model's own code: named by its config's ``auto_map``, run only where the user trusts it.

Trust travels inside the config, as values of a type that no JSON makes (`CodeReference`): a file cannot claim it, and
what is written to JSON and read again has lost it.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from inspector.errors import InspectorError
from inspector.files import read_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from transformers import PretrainedConfig, PreTrainedModel

KEY = "_own_code"
_SUM = "_own_code_sha256"
# Bytes of one file of code: what is larger is none.
_MOST_BYTES = 20_000_000
# The most telling first, as in `inspector.architecture.classes`: a whole model before its language model.
_AUTO_CLASSES = (
    "AutoModelForImageTextToText", "AutoModelForSpeechSeq2Seq", "AutoModelForSeq2SeqLM", "AutoModelForMaskedLM",
    "AutoModelForCausalLM", "AutoModel",
)  # fmt: skip


class CodeReference(str):
    """``folder::module.Class``: a class in code that the user trusts."""

    __slots__ = ()


def own_classes(config: Mapping[str, Any]) -> dict[str, str]:
    """The classes a config says its own code has, by Auto class: configs and models, not tokenizers."""
    said = config.get("auto_map")
    if not isinstance(said, dict):
        return {}
    wanted = {name: value for name, value in said.items() if name == "AutoConfig" or str(name).startswith("AutoModel")}
    return {str(name): value for name, value in wanted.items() if isinstance(value, str) and 0 < len(value) < 300}


def said_classes(config: Mapping[str, Any]) -> str:
    """The names of those classes in words, each once."""
    names = list(dict.fromkeys(value.rpartition(".")[2] for value in own_classes(config).values()))
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def with_own_code(config: Mapping[str, Any], folders: Mapping[str, Path]) -> dict[str, Any]:
    """The config with its own code trusted.

    Args:
        config: the content of a ``config.json`` with an ``auto_map``.
        folders: where the code lies: ``""`` for the model's own folder, other repositories by their names.

    Raises InspectorError when a reference is not ``module.Class`` or its file is not there.
    """
    references, hashes = {}, hashlib.sha256()
    for auto, reference in own_classes(config).items():
        repo, _, name = reference.rpartition("--")
        module, _, cls = name.partition(".")
        if not (module.isidentifier() and cls.isidentifier()) or repo not in folders:
            raise InspectorError(f"auto_map names {reference[:80]!r}, which is no class in a file of the model")
        if not (folders[repo] / f"{module}.py").is_file():
            raise InspectorError(
                f"auto_map names {name}, and there is no {module}.py", hint="download the model's code"
            )
        references[auto] = CodeReference(f"{folders[repo]}::{name}")
    for folder in folders.values():
        # All of them, for the class may import any file beside it.
        for file in sorted(folder.glob("*.py")):
            hashes.update(file.name.encode() + b"\0" + read_bytes(file, limit=_MOST_BYTES) + b"\0")
    return {**config, KEY: references, _SUM: hashes.hexdigest()}


def trusted_again(config: Mapping[str, Any]) -> dict[str, Any]:
    """A trusted config that was sent to a process of our own as JSON, which loses the trust."""
    return {**config, KEY: {auto: CodeReference(name) for auto, name in config[KEY].items()}}


def is_trusted(config: Mapping[str, Any] | PretrainedConfig) -> bool:
    """Whether a config, as a dict or as transformers' object, carries code that the user trusts."""
    return bool(_references(config))


def own_config(config: Mapping[str, Any]) -> PretrainedConfig | None:
    """The config object of the model's own class; None when that is transformers', or the code is not trusted."""
    reference = _references(config).get("AutoConfig")
    return _load(reference).from_dict(dict(config)) if reference else None


def own_model_class(config: PretrainedConfig) -> type[PreTrainedModel] | None:
    """The model's own class: the one ``architectures`` names, else the most telling; None when there is none."""
    references = {auto: name for auto, name in _references(config).items() if auto != "AutoConfig"}
    if not references:
        return None
    named = config.architectures if isinstance(config.architectures, list) else []
    wanted = [name for name in references.values() if name.rpartition(".")[2] in named]
    # The named class first, then the usual ones.
    wanted += [references[auto] for auto in _AUTO_CLASSES if auto in references]
    found: type[PreTrainedModel] = _load((wanted or list(references.values()))[0])
    return found


def _references(config: Mapping[str, Any] | PretrainedConfig) -> dict[str, CodeReference]:
    said = config.get(KEY) if isinstance(config, dict) else getattr(config, KEY, None)
    if not isinstance(said, dict):
        return {}
    return {auto: name for auto, name in said.items() if isinstance(name, CodeReference)}


def _load(reference: CodeReference) -> Any:
    """The class, imported: from here on the model's own code runs."""
    from transformers.dynamic_module_utils import get_class_from_dynamic_module

    folder, _, name = reference.partition("::")
    return get_class_from_dynamic_module(name, folder, local_files_only=True)
