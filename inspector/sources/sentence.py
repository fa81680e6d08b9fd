"""A sentence-transformers model: a transformer, and small modules behind it, each in a folder of its own.

Read without that package, whose file names and fields are its interface. Source: sentence_transformers 6.2,
base/modules/transformer.py (``_load_model``, ``TRANSFORMER_TASK_TO_AUTO_MODEL``), dense.py, and
sentence_transformer/modules/.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from inspector.errors import InspectorError
from inspector.skeleton import Module, Skeleton, Tensor
from inspector.sources.file_tree import MAX_PARTS, plain_folder
from inspector.sources.joined_parts import below, joined_checkpoint
from inspector.sources.source import Source

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from inspector.checkpoint import Checkpoint
    from inspector.checkpoint.equal_values import TensorReader
    from inspector.sources.file_tree import Tree

_TASKS = {
    "feature-extraction": ["AutoModel"],
    "fill-mask": ["AutoModelForMaskedLM"],
    "sequence-classification": ["AutoModelForSequenceClassification"],
    "text-generation": ["AutoModelForCausalLM"],
    "any-to-any": ["AutoModelForMultimodalLM"],
}
_ENCODERS = {
    "t5": "T5EncoderModel", "mt5": "MT5EncoderModel", "umt5": "UMT5EncoderModel", "udop": "UdopEncoderModel",
    "longt5": "LongT5EncoderModel", "prophetnet": "ProphetNetEncoder", "t5gemma": "T5GemmaEncoderModel",
    "switch_transformers": "SwitchTransformersEncoderModel",
}  # fmt: skip
"""Of these types the encoder alone is loaded (``_ENCODER_ONLY_MODELS``, those that transformers exports)."""

_TASK_FILES = ("sentence_bert_config.json", "sentence_transformers_config.json")
_WEIGHTLESS = {"Pooling", "Normalize", "Dropout", "SpladePooling", "WordWeights", "MultiVectorMask"}


@dataclass(frozen=True)
class Part:
    """One line of ``modules.json``: its folder and its class, without the package's path."""

    folder: str
    cls: str
    package: str


@dataclass(frozen=True)
class SentenceModel(Source):
    """What a ``modules.json`` describes. What is behind the transformer lies below the name of its folder."""

    tree: Tree

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """The modules in the order they run. Raises InspectorError when ``modules.json`` is none."""
        found = []
        for line in self.tree.list("modules.json"):
            package, _, cls = str(line.get("type", "")).rpartition(".")
            found.append(Part(plain_folder(line.get("path", "")), cls[:80], package))
        if not 0 < len(found) <= MAX_PARTS:
            raise InspectorError(f"modules.json of {self.name} lists {len(found):,} modules")
        return tuple(found)

    @cached_property
    def transformer(self) -> Part | None:
        """The module with a ``config.json`` of a transformers model; None for models of word vectors."""
        chosen = (part for part in self.parts if part.cls in {"Transformer", "MLMTransformer"})
        # The package's own names first; a model's own class is known by the config in its folder.
        known = next(chosen, None)
        return known or next((part for part in self.parts if "model_type" in self.tree.config(part.folder)), None)

    @cached_property
    def config(self) -> dict[str, Any] | None:
        """The transformer's config, with the class that the package loads it as."""
        if self.transformer is None:
            return None
        config = self.tree.config(self.transformer.folder)
        if not config:
            raise InspectorError(f"the {self.transformer.cls} of {self.name} has no config.json")
        classes = _TASKS.get(self._task(self.transformer), _TASKS["feature-extraction"])
        encoder = _ENCODERS.get(str(config.get("model_type"))) if classes == ["AutoModel"] else None
        return {**config, "architectures": [encoder] if encoder else classes}

    def _task(self, part: Part) -> str:
        if part.cls == "MLMTransformer":
            return "fill-mask"
        for name in _TASK_FILES:
            file = f"{part.folder}/{name}" if part.folder else name
            if self.tree.has(file) and isinstance(task := self.tree.json(file).get("transformer_task"), str):
                return task
        return "feature-extraction"

    @cached_property
    def runnable(self) -> dict[str, Any]:
        """Its config where the transformer is all of it that has weights. Raises InspectorError otherwise."""
        behind = [part.folder for part in self.parts if part != self.transformer and self._behind(part)[1]]
        if behind or self.transformer is None:
            alone = f"{self.where}/{self.transformer.folder}".rstrip("/") if self.transformer else ""
            raise InspectorError(
                f"{self.name} is a sentence-transformers model of several parts: only a transformer is built and run",
                hint=f"point at the transformer alone: {alone}/config.json" if alone else "try `inspector memory`",
            )
        return super().runnable

    @property
    def reader(self) -> TensorReader | None:
        """Of the transformer's files."""
        return self.tree.reader(self.transformer.folder) if self.transformer else None

    def _stored_of_config(self) -> Checkpoint | None:
        return self._stored(self.transformer, self.config or {}) if self.transformer else None

    def code_folders(self, config: Mapping[str, Any]) -> dict[str, Path]:
        """Where the transformer's own code lies."""
        return self.tree.code_folders(self.transformer.folder if self.transformer else "", config)

    @cached_property
    def checkpoint(self) -> Checkpoint | None:
        """What the files of the transformer and of every other module store."""
        read = {}
        for part in self.parts:
            is_transformer = part == self.transformer
            if not is_transformer and not part.folder:
                continue  # it lies beside the transformer and shares its files
            config = (self.config or {}) if is_transformer else {}
            if found := self._stored(part, config):
                read["" if is_transformer else part.folder] = found
        return joined_checkpoint(self.name, read, self.config or {})

    def _stored(self, part: Part, config: dict[str, Any]) -> Checkpoint | None:
        try:
            return self.tree.checkpoint(part.folder, config)
        except InspectorError:
            if part == self.transformer or part.cls not in {"Dense", "LayerNorm"}:
                raise
            return None  # a pickle; its config says the shapes

    @cached_property
    def skeleton(self) -> Skeleton:
        """The transformer's skeleton with the other modules behind it."""
        behind = [self._behind(part) for part in self.parts if part != self.transformer]
        modules = tuple(module for found, _ in behind for module in found)
        tensors = tuple(tensor for _, found in behind for tensor in found)
        chain = ", ".join(part.cls for part in self.parts)
        notes = [f"a sentence-transformers pipeline: {chain}; pooling and the like have no weights"]
        own = [part.cls for part in self.parts if part.package.partition(".")[0] != "sentence_transformers"]
        if own:
            notes.append(f"{', '.join(own)}: the model's own code, which was not run; read off its files")
        if self.transformer is None:
            from inspector.skeleton import ConfigFacts

            base = Skeleton(self.name, "SentenceTransformer", ConfigFacts(model_type="sentence"), (), (), self.where)
            modules = (Module("", "SentenceTransformer", "other"), *modules)
        else:
            base = super().skeleton
        return replace(
            base, modules=(*base.modules, *modules), tensors=(*base.tensors, *tensors), notes=(*notes, *base.notes)
        )

    def _behind(self, part: Part) -> tuple[list[Module], list[Tensor]]:
        """Modules and tensors of one module that is not the transformer."""
        config = self.tree.config(part.folder) if part.folder else {}
        here = Module(part.folder or part.cls, part.cls, "other")
        if part.cls == "Dense":
            size = _whole(config, "in_features", part), _whole(config, "out_features", part)
            linear = _linear(f"{part.folder}.linear", size, bias=config.get("bias", True) is not False)
            residual = config.get("use_residual") is True and size[0] != size[1]
            extra = _linear(f"{part.folder}.residual", size, bias=False) if residual else ([], [])
            return [here, *linear[0], *extra[0]], [*linear[1], *extra[1]]
        if part.cls == "LayerNorm":
            path, shape = f"{part.folder}.norm", (_whole(config, "dimension", part),)
            return [here, Module(path, "LayerNorm", "norm")], [Tensor(f"{path}.{n}", shape) for n in ("weight", "bias")]
        if part.cls in _WEIGHTLESS or not part.folder:
            return ([here] if part.folder else []), []
        stored = self._stored(part, {})
        if stored is None:
            return [here], []
        from inspector.sources.unknown_architecture import bare_skeleton

        read = below(bare_skeleton(stored, self.where), part.folder)
        return [here, *(module for module in read.modules if module.path != part.folder)], list(read.tensors)


def _linear(path: str, size: tuple[int, int], *, bias: bool) -> tuple[list[Module], list[Tensor]]:
    """A linear layer that quantizers and adapters never see: the package hands them the transformer alone."""
    rows = [Tensor(f"{path}.weight", (size[1], size[0]))]
    return [Module(path, "Linear", "other", keep=True)], rows + ([Tensor(f"{path}.bias", (size[1],))] * bias)


def _whole(config: dict[str, Any], field: str, part: Part) -> int:
    """A size of a module. Raises InspectorError when it is none."""
    value = config.get(field)
    # 2**26, as for every size of a config (`inspector.architecture.sanity`).
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= 2**26:
        raise InspectorError(f"{field} of the {part.cls} in {part.folder or 'the root'} is {str(value)[:40]}, no size")
    return value
