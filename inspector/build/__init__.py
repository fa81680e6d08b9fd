"""Config -> meta-device transformers model -> `Skeleton`. The only way a skeleton is made from an architecture."""

from inspector.build.classes import model_class
from inspector.build.model import build_config, build_model
from inspector.build.read import build_skeleton, read_skeleton

__all__ = ["build_config", "build_model", "build_skeleton", "model_class", "read_skeleton"]
