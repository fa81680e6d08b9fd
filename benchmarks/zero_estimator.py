"""DeepSpeed's own estimator on the published ZeRO-3 runs of examples: what it says, and the measured bytes.

Run it as ``python benchmarks/zero_estimator.py`` where DeepSpeed is installed. The estimator counts weights, gradients
and optimizer state alone (``estimate_zero3_model_states_mem_needs``); what is allocated after training is its fairest
rival, as no activations are in it but the last logits.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from inspector.validation.runs import questions


def sizes(own: dict[str, int]) -> tuple[int, int]:
    """Parameters in all and of the largest layer, of a stack of PyTorch's attention described by its sizes."""
    import torch

    from inspector.simulate.program.encoder_stack import EncoderStack
    from inspector.simulate.setup.engine_words import EncoderSizes

    with torch.device("meta"):
        model = EncoderStack(EncoderSizes(**own))
    largest = max(sum(each.numel() for each in module.parameters(recurse=False)) for module in model.modules())
    return sum(each.numel() for each in model.parameters()), largest


def main() -> None:
    """A line a run, and the mean of the errors."""
    from deepspeed.runtime.zero.stage3 import estimate_zero3_model_states_mem_needs as estimate

    errors: dict[str, list[float]] = {}
    for run in questions("multigpu_deepspeed"):
        if "own_model" not in run.settings:
            continue
        total, largest = sizes(run.settings["own_model"])
        _, card, _ = estimate(total, largest, run.settings["gpus"], 1, cpu_offload=False, zero_init=False)
        (figure,) = run.figures
        errors.setdefault(figure.of, []).append(card / figure.measured - 1)
        print(f"{run.id:52} {card / 2**30:6.2f} GiB estimated {figure.measured / 2**30:6.2f} measured "
              f"{errors[figure.of][-1]:+7.1%}")  # fmt: skip
    for name, found in errors.items():
        print(f"{name}: mean of absolute errors {sum(map(abs, found)) / len(found):.1%}")


if __name__ == "__main__":
    main()
