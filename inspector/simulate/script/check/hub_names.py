"""Models and data sets by their names: whether what a script loads is at hand without a network."""

from __future__ import annotations

import ast
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from inspector.errors import InspectorError
from inspector.files import exists
from inspector.sources.bundled import find, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inspector.simulate.script.check.arguments import Said
    from inspector.simulate.script.check.values import Values

# Builders of datasets 5.2 that read files of the user's. Source: its ``_PACKAGED_DATASETS_MODULES``.
_BUILDERS = frozenset({
    "json", "csv", "text", "parquet", "arrow", "pandas", "sql", "xml", "webdataset", "imagefolder", "audiofolder",
    "videofolder", "pdffolder", "hdf5", "generator", "spark", "cache", "lance", "niftifolder", "eval", "tsfile",
    "meshfolder",
})  # fmt: skip
_TOKENIZERS = ("Tokenizer", "TokenizerFast", "Processor", "FeatureExtractor", "ImageProcessor")
_LOADS_MODEL = {"sentence_transformers.SentenceTransformer", "sentence_transformers.CrossEncoder"}
_TRAINERS = {"SFTTrainer", "DPOTrainer", "KTOTrainer", "ORPOTrainer", "CPOTrainer", "RewardTrainer", "GRPOTrainer",
             "RLOOTrainer", "PPOTrainer", "BCOTrainer", "OnlineDPOTrainer", "GKDTrainer"}  # fmt: skip
"""Of trl: a model may be given by its name."""


@dataclass(frozen=True, slots=True)
class Given:
    """What a run has beside this disk.

    Attributes:
        data: names of data sets that files are given for.
        lengths: whether lengths are given for all other data sets.
        made: folders that the script itself makes, by saving or fetching into them.
    """

    data: frozenset[str] = frozenset()
    lengths: bool = False
    made: frozenset[str] = frozenset()

    def has(self, name: str) -> bool:
        """Whether a name is a folder or a file, now or by the time that it is loaded."""
        return exists(Path(name)) or any(_within(name, folder) for folder in self.made)


_SAVES = {
    "save_pretrained",
    "save_model",
    "save_checkpoint",
    "save_to_disk",
    "save_state",
    "save_lora_weights",
    "mkdir",
}
_SAVED_TO = {"output_dir", "local_dir", "save_directory", "save_dir", "default_root_dir", "dirpath", "repo_id"}


def made_by(node: ast.Call, values: Values) -> Iterator[str]:
    """The folders that a call will have made."""
    named = isinstance(node.func, ast.Attribute) and node.func.attr in _SAVES
    words = [word.value for word in node.keywords if word.arg in _SAVED_TO]
    for given in [*(node.args[:1] if named else []), *words]:
        value = values.of(given)
        if isinstance(value, str) and value:
            yield value


def _within(name: str, folder: str) -> bool:
    return Path(folder) in (Path(name), *Path(name).parents)


def of_call(node: ast.Call, meant: str | None, values: Values, given: Given) -> Iterator[Said]:
    """What a call loads by a name that is nowhere on this disk; ``meant`` is the full name of what is called."""
    name = (meant or "").rpartition(".")[2]
    if meant in {"datasets.load_dataset", "datasets.load.load_dataset"}:
        yield from data_set(_text(node, values, "path"), given)
    elif meant in {"evaluate.load", "evaluate.loading.load"}:
        yield from metric(_text(node, values, "path"), given)
    elif name == "from_pretrained":
        yield from _pretrained(node, meant or "", values, given)
    elif meant == "transformers.pipeline":
        yield from model(_text(node, values, "model", at=1), given)
    elif meant in _LOADS_MODEL:
        # Short names of its own are of its own organization.
        short = _text(node, values, "model_name_or_path")
        yield from model(short if short is None or "/" in short else f"sentence-transformers/{short}", given)
    elif name in _TRAINERS and (meant or "").startswith("trl."):
        yield from model(_text(node, values, "model"), given)


def data_set(name: str | None, given: Given) -> Iterator[Said]:
    """A data set by its name on the hub."""
    if name is None or name in _BUILDERS or name in given.data or given.lengths or given.has(name):
        return
    if not (_cached("datasets", name) or _prepared(name)):
        short = name.rpartition("/")[2]
        yield "refused", f"the data set {name} is not on this disk", f"--data {name}={short}.jsonl, or --lengths"


def metric(name: str | None, given: Given) -> Iterator[Said]:
    """A metric of the evaluate library by its name, whose code is fetched from the hub once."""
    if name is None or given.has(name):
        return
    modules = Path(os.environ.get("HF_MODULES_CACHE") or _home() / "modules") / "evaluate_modules"
    if not (exists(modules) and any(modules.glob(f"*/*--{name.replace('/', '--')}"))):
        yield "assumed", f"the metric {name} is not on this disk", "its scores are read as unknown numbers are"


def _pretrained(node: ast.Call, meant: str, values: Values, given: Given) -> Iterator[Said]:
    kind = meant.rpartition(".")[0].rpartition(".")[2]
    if meant.startswith("peft."):
        # The model comes first, and the adapter second.
        adapter = _text(node, values, "model_id", at=1 if kind.startswith("Peft") else 0)
        if adapter is not None and not given.has(adapter) and not _cached("models", adapter):
            yield "refused", f"the adapter {adapter} is not on this disk", "give the folder that it was saved in"
        return
    name = _text(node, values, "pretrained_model_name_or_path")
    if name is None or given.has(name) or _cached("models", name):
        return
    if kind.endswith(_TOKENIZERS):
        if not kind.endswith("Tokenizer") and not kind.endswith("TokenizerFast"):
            yield from model(name, given)
        elif _bundled(name):
            yield (
                "assumed",
                f"a tokenizer for {name}",
                "one of the same vocabulary stands in: lengths come from characters",
            )
    else:
        yield from model(name, given)


def model(name: str | None, given: Given) -> Iterator[Said]:
    """A model by its name on the hub, or by its folder."""
    if name is None or given.has(name) or _cached("models", name) or _bundled(name):
        return
    if name.startswith((".", "/", "~")):
        yield "refused", f"there is no folder {name}", "nothing in the script saves into it"
        return
    near = nearest(name, 1)
    instead = f"{near[0]} is bundled" if near else "give a folder with its config.json"
    yield "refused", f"the model {name} is neither bundled nor on this disk", instead


def _bundled(name: str) -> bool:
    try:
        return find(name) is not None
    except InspectorError:  # the ending of several names
        return False


def _text(node: ast.Call, values: Values, keyword: str, *, at: int = 0) -> str | None:
    """The text that a call is given for a parameter, by its place or its name."""
    given: ast.AST | None = node.args[at] if len(node.args) > at else None
    given = next((word.value for word in node.keywords if word.arg == keyword), given)
    value = values.of(given)
    return value if isinstance(value, str) and value.strip() else None


def _home() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache"))
    return Path(os.environ.get("HF_HOME") or cache / "huggingface").expanduser()


def _cached(kind: str, name: str) -> bool:
    """Whether huggingface_hub has files of a repository: ``models--org--name`` with a snapshot."""
    hub = Path(os.environ.get("HF_HUB_CACHE") or _home() / "hub")
    snapshots = hub / f"{kind}--{name.replace('/', '--')}" / "snapshots"
    return exists(snapshots) and any(snapshots.iterdir())


def _prepared(name: str) -> bool:
    """Whether the datasets library has prepared this one before: ``org___name``."""
    home = Path(os.environ.get("HF_DATASETS_CACHE") or _home() / "datasets")
    return exists(home / name.replace("/", "___").lower()) or exists(home / name.replace("/", "___"))
