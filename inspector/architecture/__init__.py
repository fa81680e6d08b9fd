"""Config -> meta-device transformers model -> `Skeleton`. The only way a skeleton is made from an architecture."""

from inspector.architecture.classes import model_class
from inspector.architecture.meta_model import build_config, build_model
from inspector.architecture.read import build_skeleton, read_skeleton

__all__ = ["build_config", "build_model", "build_skeleton", "model_class", "read_skeleton"]
