"""Skeletons kept on disk: one config is built once by the same code and the same libraries."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from inspector.architecture.own_code import is_trusted
from inspector.skeleton import json_form
from inspector.store.entries import stored
from inspector.store.freshness import entry_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from inspector.skeleton import Skeleton

ROOMS = ("architecture/*.py", "skeleton/*.py", "patched/*.py", "*.py")
"""Whose code says what the skeleton of a config is: at least all that `inspector.architecture` imports."""

LIMIT_BYTES = 64 * 10**6
"""Most that kept skeletons take on disk: a thousand of the usual 60 kB."""


def kept_skeleton(config: Mapping[str, object], model_id: str, source: str) -> Skeleton:
    """The kept skeleton of a config, or a newly built one, which is then kept as `stored` keeps it.

    Raises InspectorError when the config cannot be built.
    """

    def build() -> Skeleton:
        from inspector.architecture import build_skeleton

        return build_skeleton(config, model_id=model_id, source=source)

    return kept_build(config, model_id, source, build)


def kept_build(config: Mapping[str, object], model_id: str, source: str, build: Callable[[], Skeleton]) -> Skeleton:
    """As `kept_skeleton`, built in a way of one's own; ``config`` holds all that the build depends on."""
    found = stored(
        Path("skeletons", skeleton_entry(config)),
        f"the skeleton of {model_id}",
        load=lambda data: json_form.loads(data.decode("utf-8", "replace")),
        make=build,
        dump=lambda skeleton: json_form.dumps(skeleton).encode(),
        most=LIMIT_BYTES,
    )
    # The same config may be called otherwise and lie elsewhere: both are said by who asks now.
    return replace(found, model_id=model_id, source=source)


def skeleton_entry(config: Mapping[str, object]) -> str:
    """The name of a config's entry: its content, whatever the file is called and wherever it lies.

    So does the code that a model brings along name it, where it is trusted: by its content, which is part of the config
    then (see `inspector.architecture.own_code`).
    """
    return entry_name((dict(config), is_trusted(config)), *ROOMS)
