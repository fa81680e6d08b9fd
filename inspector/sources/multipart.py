"""Models that are more than one transformers model, known by the files at their root."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.skeleton.vocabulary import refuse_resizing

if TYPE_CHECKING:
    from inspector.sources.file_tree import Tree
    from inspector.sources.source import Source


def composed_source(tree: Tree) -> Source | None:
    """A diffusers pipeline or model, or a sentence-transformers model; None for anything else.

    Raises InspectorError when the file that says so cannot be read.
    """
    # Before modules.json and config.json, which a part may have at the root as well.
    if tree.has("model_index.json") or tree.has("modules.json"):
        refuse_resizing(f"{tree.where}, a model of several parts,")
    if tree.has("model_index.json"):
        from inspector.sources.pipeline import Pipeline

        return Pipeline(tree.name, tree.where, tree)
    if tree.has("modules.json"):
        from inspector.sources.sentence import SentenceModel

        return SentenceModel(tree.name, tree.where, tree)
    # The text first: most configs are not diffusers', and are parsed later by whom they belong to.
    if tree.has("config.json") and '"_class_name"' in tree.text("config.json"):
        config = tree.config("")
        if isinstance(config.get("_class_name"), str) and "model_type" not in config:
            from inspector.sources.pipeline import DiffusersModel

            return DiffusersModel(tree.name, tree.where, tree)
    return None
