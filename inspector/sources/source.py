"""What a reference leads to: a config, the tensors of its files, and the skeleton of both."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from inspector.architecture.own_code import own_classes, with_own_code
from inspector.architecture.resized import with_vocabulary
from inspector.config_json import published_dtype
from inspector.errors import InspectorError, UnknownArchitectureError
from inspector.precision.published import published_in, said_of_loading
from inspector.precision.published_words import QuantizationWordError
from inspector.skeleton.vocabulary import refuse_resizing, wanted_vocabulary
from inspector.sources import bundled
from inspector.trust import is_code_trusted

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from inspector.checkpoint import Checkpoint
    from inspector.checkpoint.equal_values import TensorReader
    from inspector.skeleton import Skeleton
    from inspector.sources.stored_ties import AsStored

logger = logging.getLogger("inspector")


@dataclass(frozen=True)
class Source(ABC):
    """One thing a user pointed at. ``name`` is what it is called, ``where`` says where it came from."""

    name: str
    where: str

    @cached_property
    @abstractmethod
    def config(self) -> dict[str, Any] | None:
        """The content of its ``config.json``; None when it has none."""

    @cached_property
    def runnable(self) -> dict[str, Any]:
        """The config of the one model that is built and run. Raises InspectorError when there is none."""
        if self.buildable is None:
            raise InspectorError(f"{self.where} has no config.json", hint="point at the folder of a transformers model")
        return self._with_stored_dtype(self._as_stored(self.buildable).config)

    def code_folders(self, config: Mapping[str, Any]) -> dict[str, Path]:
        """Where the code that its config names lies: "" for its own folder, other repositories by their names.

        Asked only where the user trusts that code. Raises InspectorError when it cannot be had.
        """
        raise InspectorError(f"the code of {self.name} is not beside its config", hint="point at the model's folder")

    @cached_property
    def buildable(self) -> dict[str, Any] | None:
        """Its config as it may be built: with its own code where it names some and the user trusts it.

        And with the vocabulary that was asked for (`inspector.skeleton.vocabulary`).
        """
        if self.config is None:
            return None
        config = self.config
        if is_code_trusted() and own_classes(config):
            config = with_own_code(config, self.code_folders(config))
        vocabulary = wanted_vocabulary()
        return with_vocabulary(config, vocabulary) if vocabulary else config

    @cached_property
    def checkpoint(self) -> Checkpoint | None:
        """What its files store; None when it is a config alone."""
        return None

    @cached_property
    def unread(self) -> str:
        """The file that transformers loads and that is not opened here, such as a pickle; empty when there is none."""
        return ""

    @property
    def readable(self) -> str:
        """What to name instead, where nothing that transformers loads of it is opened here."""
        return f"its files on the hub: hf:{self.name}" if self.where == "bundled" else "point at its folder"

    @property
    def reader(self) -> TensorReader | None:
        """How the tensors of its files are read; None where there are none."""
        return None

    @cached_property
    def _ties(self) -> AsStored | None:
        if self.buildable is None or self.reader is None:
            return None
        from inspector.sources.stored_ties import as_stored

        return as_stored(self.buildable, self._built, self._stored_of_config, self.reader)

    def _stored_of_config(self) -> Checkpoint | None:
        """What the files of the one model store that the config is of."""
        return self.checkpoint

    def _as_stored(self, config: dict[str, Any]) -> AsStored:
        """A config with what its files say of its ties."""
        from inspector.sources.stored_ties import AsStored

        try:
            return self._ties or AsStored(config)
        except UnknownArchitectureError:
            return AsStored(config)  # its skeleton is read off the files, and has no ties

    def _with_stored_dtype(self, config: dict[str, Any]) -> dict[str, Any]:
        """A quantized checkpoint's config that names no dtype, with that of its files.

        It is the first one that a model can have, in the order of the first file: ``dtype="auto"`` of transformers
        (modeling_utils.py, ``get_state_dict_dtype``).
        """
        if published_dtype(config) or published_in(config) is None or self.checkpoint is None:
            return config
        found = (one.dtype for one in self.checkpoint.tensors if one.dtype in {"bfloat16", "float16", "float32"})
        first = next(found, None)
        return config if first is None else {**config, "dtype": first}

    def _built(self, config: Mapping[str, Any]) -> Skeleton:
        from inspector.store.skeletons import kept_skeleton

        return kept_skeleton(config, self.name, self.where)

    @cached_property
    def skeleton(self) -> Skeleton:
        """Its skeleton: of the config and what files say of its ties; without a config, read off the tensors' names.

        Raises QuantizationWordError for a ``quantization_config`` that no library takes.
        """
        published = published_in(self.config) if self.config else None
        found = self._of_any_config()
        said = () if published is None else said_of_loading(published, found.facts.dtype)
        return replace(found, notes=(*found.notes, *said)) if said else found

    @property
    def skeleton_of_files(self) -> Skeleton:
        """Its skeleton for what files store, which a wrong word of its ``quantization_config`` does not change."""
        try:
            return self.skeleton
        except QuantizationWordError as error:
            found = self._of_any_config()
            return replace(found, notes=(*found.notes, str(error)))

    def _of_any_config(self) -> Skeleton:
        if self.buildable is not None:
            try:
                found = self._as_stored(self.buildable)
                built = found.skeleton or self._built(found.config)
                return replace(built, notes=(*found.notes, *built.notes)) if found.notes else built
            except UnknownArchitectureError as error:
                if self.checkpoint is None:
                    raise
                # Said, for what is read off names lacks buffers and ties.
                logger.warning("%s; read off the tensors' names instead (%s)", error.message, error.hint)
        if self.checkpoint is None:
            raise InspectorError(
                f"{self.where} has no config.json and no safetensors",
                hint="point at the folder of a transformers model",
            )
        refuse_resizing(f"{self.where}, read off its tensors' names,")
        from inspector.sources.unknown_architecture import bare_skeleton

        return bare_skeleton(self.checkpoint, self.where)


@dataclass(frozen=True)
class Bundled(Source):
    """A model that ships with the package."""

    @cached_property
    def config(self) -> dict[str, Any] | None:
        """Its bundled config."""
        return bundled.bundled_config(self.name)

    @cached_property
    def skeleton(self) -> Skeleton:
        """Its bundled skeleton; a newly built one where its vocabulary is resized."""
        if wanted_vocabulary():
            return super().skeleton
        return bundled.load_bundled(self.name)
