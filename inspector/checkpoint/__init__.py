"""What the files of a model store, tensor by tensor, beside what its architecture expects (the `Skeleton`)."""

from inspector.checkpoint.checkpoint import MAX_NAME, MAX_TENSORS, Checkpoint, FileTensor, Overhead

__all__ = ["MAX_NAME", "MAX_TENSORS", "Checkpoint", "FileTensor", "Overhead"]
