"""Transcripts of speech, of a length that is said: what CTC asks of its labels, and what its loss allocates.

A label is neither padding nor the blank, and is in the vocabulary: every one of them counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from inspector.skeleton.tasks import head_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from transformers import PreTrainedModel

    from inspector.simulate.tracing.tracer import Tracer


def install(tracer: Tracer, model: PreTrainedModel, length: int) -> None:
    """Answer what a model with a CTC head asks of labels of this length, and stand for the loss without data."""
    if head_of(type(model).__name__) != "CTC":
        return
    aten, others, usual = torch.ops.aten, tracer.kernels.replaced, tracer.answer
    highest: list[Any] = []

    def beyond(tensor: torch.Tensor, other: object) -> Any:
        del other
        result = torch.empty_like(tensor, dtype=torch.bool)
        # The highest label of all, asked whether it is beyond the vocabulary.
        if not tensor.dim():
            highest.append(result.untyped_storage())
        return result

    def answer(tensor: torch.Tensor) -> bool | int | float:
        asked = tensor.untyped_storage()._cdata
        return False if any(storage._cdata == asked for storage in highest) else usual(tensor)

    def masked_select(tensor: torch.Tensor, mask: torch.Tensor) -> Any:
        del mask
        return torch.empty((tensor.numel(),), dtype=tensor.dtype, device=tensor.device)

    def backward(_grad: torch.Tensor, log_probs: torch.Tensor, *more: Any) -> Any:
        alphas, _blank, *zero_infinity = more[4:]
        return _ctc_loss_backward(tracer, log_probs, alphas, zero_infinity=any(zero_infinity))

    replaced: dict[Any, Callable[..., Any]] = {
        aten.ge.Scalar: beyond,
        aten.masked_select.default: masked_select,
        aten._ctc_loss.Tensor: lambda log_probs, *_, **__: _ctc_loss(log_probs, length),
        aten._ctc_loss_backward.Tensor: backward,
        aten._log_softmax_backward_data.default: _log_softmax_backward,
    }
    tracer.kernels.replaced = {**others, **replaced}
    tracer.answer = answer


def _ctc_loss(log_probs: torch.Tensor, length: int) -> tuple[Any, Any]:
    """A loss a row, and the table of alphas: every frame by every label with blanks around them.

    Source: aten/src/ATen/native/cuda/LossCTC.cu, ``ctc_loss_gpu_template``; transformers turns cuDNN's off
    (loss/loss_ctc.py).
    """
    frames, rows = log_probs.shape[:2]
    for _ in range(3):  # where each row's labels begin, and both lengths, on the device
        torch.empty((rows,), dtype=torch.int64, device=log_probs.device)
    alphas = log_probs.new_empty((rows, frames, 2 * length + 1))
    return log_probs.new_empty((rows,)), alphas


def _ctc_loss_backward(tracer: Tracer, log_probs: torch.Tensor, alphas: torch.Tensor, *, zero_infinity: bool) -> Any:
    """The gradient, laid out anew, with a table of betas beside it; on a card, of many frames, with both tables' sum.

    Source: ``ctc_loss_backward_gpu_template``, in the same file; the CPU's is aten/src/ATen/native/LossCTC.cpp.
    """
    frames, rows, labels = log_probs.shape
    betas = torch.empty_like(alphas)
    gradient = torch.empty((frames, rows, labels), dtype=log_probs.dtype, device=log_probs.device)
    # What the kernels call a large problem.
    if tracer.kernels.device is None or 2 * frames + 24 * rows // 10 + 2 * labels // 10 <= 450:
        return gradient
    blanks = alphas[..., ::2] + betas[..., ::2]
    (blanks - blanks.amax(2, keepdim=True)).exp_().sum(2, keepdim=True)
    del blanks
    if not zero_infinity:
        return gradient
    return torch.where(torch.empty_like(gradient[:1, :, :1], dtype=torch.bool), gradient.new_empty(()), gradient)


def _log_softmax_backward(grad: torch.Tensor, output: torch.Tensor, dim: int, dtype: torch.dtype) -> Any:
    """Of a gradient that is not in rows, as that of the frames turned round is not, the kernel makes a copy first.

    Source: aten/src/ATen/native/cuda/SoftMax.cu, ``host_softmax_backward``.
    """
    del output, dim
    return torch.empty_like(grad.contiguous(), dtype=dtype)
