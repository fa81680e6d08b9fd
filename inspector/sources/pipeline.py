"""A diffusers pipeline: every component that has weights is a part of one skeleton, below the component's name."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from inspector.errors import InspectorError
from inspector.skeleton import PIPELINE, ConfigFacts, Module, Skeleton
from inspector.sources.file_tree import MAX_PARTS, plain_folder
from inspector.sources.joined_parts import below, joined_checkpoint
from inspector.sources.source import Source

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inspector.checkpoint import Checkpoint
    from inspector.sources.file_tree import Tree

logger = logging.getLogger("inspector")

INDEX = "model_index.json"
EXTRA = "pip install 'llm-inspector[diffusers]'"


@dataclass(frozen=True)
class Component:
    """One part with a config of its own: its folder's name, and the library and class that the index names."""

    name: str
    library: str
    cls: str


@dataclass(frozen=True)
class _NotRun(Source):
    """What has no config of transformers' own: opened and counted, not run."""

    tree: Tree
    what: ClassVar[str]

    @cached_property
    def config(self) -> dict[str, Any] | None:
        """None: its parts have configs of their own, or it is none of transformers'."""
        return None

    @property
    def runnable(self) -> dict[str, Any]:
        """Raises InspectorError, with what can be asked of it."""
        raise InspectorError(
            f"{self.where} is {self.what}: "
            "steps and generations are simulated and measured of transformers' models only",
            hint=f"try `inspector memory {self.where}`, layers, lora or checkpoint",
        )


@dataclass(frozen=True)
class Pipeline(_NotRun):
    """What a ``model_index.json`` describes: several models, each with a config of its own."""

    what: ClassVar[str] = "a diffusers pipeline"

    @cached_property
    def index(self) -> dict[str, Any]:
        """The content of its ``model_index.json``."""
        return self.tree.json(INDEX)

    @cached_property
    def components(self) -> tuple[Component, ...]:
        """The parts with weights; schedulers, tokenizers and processors have no ``config.json``."""
        found: list[Component] = []
        if len(self.index) > MAX_PARTS:
            raise InspectorError(f"{INDEX} of {self.name} lists {len(self.index):,} components")
        for name, value in self.index.items():
            named = isinstance(value, list) and len(value) == 2 and all(isinstance(part, str) for part in value)
            if named and self.tree.has(f"{plain_folder(name)}/config.json"):
                found.append(Component(name, *value))
        return tuple(found)

    @cached_property
    def checkpoint(self) -> Checkpoint | None:
        """What the files of all components store."""
        read = {part.name: self.tree.checkpoint(part.name, self.tree.config(part.name)) for part in self.components}
        return joined_checkpoint(self.name, {name: found for name, found in read.items() if found}, {})

    @cached_property
    def skeleton(self) -> Skeleton:
        """All components side by side."""
        if not self.components:
            raise InspectorError(f"{self.where}: {INDEX} names no component that has a config.json")
        # Before any part is built, which takes seconds.
        self._ask_for_diffusers()
        parts = {part.name: self._part(part) for part in self.components}
        cls = str(self.index.get("_class_name") or "DiffusionPipeline")[:80]
        others = [str(name) for name, value in self.index.items() if isinstance(value, list) and name not in parts]
        notes = [f"components: {', '.join(f'{name} ({part.architecture})' for name, part in parts.items())}"]
        if others:
            notes.append(f"without weights, or left out: {', '.join(sorted(others))}")
        notes += [f"{name}: {note}" for name, part in parts.items() for note in part.notes]
        built = dict.fromkeys(part.built_with for part in parts.values() if part.built_with)
        moved = [below(part, name) for name, part in parts.items()]
        return Skeleton(
            model_id=self.name,
            architecture=cls,
            facts=ConfigFacts(model_type=PIPELINE, dtype=self._dtype()),
            modules=(Module("", cls, "other"), *(module for part in moved for module in part.modules)),
            tensors=tuple(tensor for part in moved for tensor in part.tensors),
            source=self.where,
            built_with=", ".join(built),
            notes=tuple(notes),
        )

    def _ask_for_diffusers(self) -> None:
        """Say what to install before any part is built, and which parts can be opened without it."""
        from importlib.util import find_spec

        needed = [part.name for part in self.components if part.library == "diffusers"]
        if not needed or find_spec("diffusers") is not None:
            return
        alone = [part.name for part in self.components if part.library == "transformers"]
        hint = EXTRA + (f"; without it, open one part: {self.where}/{alone[0]}" if alone else "")
        raise InspectorError(f"{', '.join(needed)} of {self.name} need diffusers, which is not installed", hint=hint)

    def _part(self, part: Component) -> Skeleton:
        """One component by the class that the index names; a class that is code of the pipeline's own is not run."""
        config, name = self.tree.config(part.name), f"{self.name}/{part.name}"
        if part.library == "transformers":
            # The index goes before the config: diffusers loads a component as the class that the index names.
            named = {"architectures": [part.cls]} if part.cls.isidentifier() else {}
            return self._of_transformers({**config, **named}, part.name, name)
        if part.library == "diffusers":
            return component_skeleton(config, part.cls, name, self.where)
        if part.library == "stable_diffusion":  # diffusers' own: the safety checker of Stable Diffusion
            return component_skeleton(config, part.cls, name, self.where, part.library)
        stored = self.tree.checkpoint(part.name, config)
        if stored is None:
            raise InspectorError(
                f"{name} is {part.cls[:60]} of {part.library[:60]}, which is not run, and it has no safetensors"
            )
        from inspector.sources.unknown_architecture import bare_skeleton

        bare = bare_skeleton(replace(stored, name=name), self.where)
        return replace(bare, notes=(f"{part.cls[:60]} of {part.library[:60]} is not run", *bare.notes))

    def _of_transformers(self, config: dict[str, Any], folder: str, name: str) -> Skeleton:
        """A component that transformers loads, tied as its files have it."""
        from inspector.sources.stored_ties import as_stored
        from inspector.store.skeletons import kept_skeleton

        def build(config: Mapping[str, Any]) -> Skeleton:
            return kept_skeleton(config, name, self.where)

        found = as_stored(config, build, lambda: self.tree.checkpoint(folder, config), self.tree.reader(folder))
        built = found.skeleton or build(found.config)
        return replace(built, notes=(*found.notes, *built.notes))

    def _dtype(self) -> str:
        """The dtype most of the bytes are stored in; float32, as diffusers loads, where there are no files."""
        from inspector.skeleton import DTYPE_BYTES

        stored = self.checkpoint.dtypes if self.checkpoint else {}
        # The checkpoint lists its dtypes by bytes, most first.
        return next((dtype for dtype in stored if dtype in DTYPE_BYTES), "float32")


def component_skeleton(config: dict[str, Any], cls: str, name: str, where: str, pipeline: str = "") -> Skeleton:
    """The kept skeleton of one diffusers model, or a newly built one; ``pipeline`` is where a class of its own lies."""
    from inspector.store.skeletons import kept_build

    def build() -> Skeleton:
        from inspector.architecture.pipelines import checker_skeleton, diffusers_skeleton

        make = checker_skeleton if pipeline else diffusers_skeleton
        return make(config, cls, model_id=name, source=where)

    return kept_build({"_class_name": cls, "pipeline": pipeline, "config": config}, name, where, build)


@dataclass(frozen=True)
class DiffusersModel(_NotRun):
    """One component alone: a folder or a file whose config has diffusers' ``_class_name``."""

    what: ClassVar[str] = "a diffusers model"

    @cached_property
    def checkpoint(self) -> Checkpoint | None:
        """What its files store."""
        return self.tree.checkpoint("", self.tree.config(""))

    @cached_property
    def skeleton(self) -> Skeleton:
        """The model by its own class."""
        config = self.tree.config("")
        return component_skeleton(config, str(config["_class_name"]), self.name, self.where)
