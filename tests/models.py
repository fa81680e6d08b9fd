"""Choices among the bundled models."""

from inspector.sources.bundled import load_bundled


def distinct(models):
    """One of the models of equal skeletons: a base model and its instruct variant are the same to every library."""
    found = {}
    for model in models:
        skeleton = load_bundled(model)
        found.setdefault((skeleton.modules, skeleton.tensors), model)
    return sorted(found.values())
