"""``python -m inspector.rebuild``: build every bundled skeleton anew with the installed libraries."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from inspector.build import build_skeleton
from inspector.files import write_text
from inspector.skeleton_json import dumps
from inspector.sources.bundled import bundled_config, model_ids, skeleton_path

if TYPE_CHECKING:
    from inspector.skeleton import Skeleton


def rebuilt(model_id: str) -> Skeleton:
    """A bundled model's skeleton, freshly built from its config."""
    return build_skeleton(bundled_config(model_id), model_id=model_id, source="bundled")


def main() -> None:
    """Write all skeletons; the folder then holds those of the bundled configs and no others."""
    from rich.console import Console
    from rich.progress import track

    for model_id in track(
        model_ids(), "Building skeletons", console=Console(stderr=True), disable=not sys.stderr.isatty()
    ):
        write_text(skeleton_path(model_id), dumps(rebuilt(model_id)))


if __name__ == "__main__":
    main()
