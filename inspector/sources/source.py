"""What a reference leads to: a config, the tensors of its files, and the skeleton of both."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from inspector.errors import InspectorError, UnknownArchitectureError
from inspector.sources import bundled

if TYPE_CHECKING:
    from inspector.checkpoint import Checkpoint
    from inspector.skeleton import Skeleton

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
    def checkpoint(self) -> Checkpoint | None:
        """What its files store; None when it is a config alone."""
        return None

    @cached_property
    def skeleton(self) -> Skeleton:
        """Its skeleton: of the config where there is one, else read off the tensors' names."""
        if self.config is not None:
            try:
                from inspector.sources.cache import cached_skeleton

                return cached_skeleton(self.config, self.name, self.where)
            except UnknownArchitectureError as error:
                if self.checkpoint is None:
                    raise
                logger.warning("%s; read off the tensors' names instead", error.message)
        if self.checkpoint is None:
            raise InspectorError(
                f"{self.where} has no config.json and no safetensors",
                hint="point at the folder of a transformers model",
            )
        from inspector.sources.bare import bare_skeleton

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
        """Its bundled skeleton."""
        return bundled.load_bundled(self.name)
