"""Real fine-tuning runs of a small model, by PEFT, one after another. Imports torch, transformers and peft."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from inspector.architecture.quiet import quiet
from inspector.errors import InspectorError
from inspector.lab.kept_runs import keep_run, kept_run, place_of
from inspector.lab.plan import Settings, plan
from inspector.lab.reports import Finetuned, FinetuneLab
from inspector.lab.sampling import chosen_device, sample_of, token_losses, windows
from inspector.lab.small_model import small_model
from inspector.lab.texts import docstrings
from inspector.lora import named_set
from inspector.measure.build import build
from inspector.measure.spec import MeasuredLora, StepSetup
from inspector.measure.train import add_lora, prepare
from inspector.measure.weigh import weigh
from inspector.store.skeletons import kept_skeleton

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from inspector.lab.plan import Setup
    from inspector.lab.small_model import SmallModel

    Progress = Callable[[Mapping[str, Any]], None]

CHARACTERS = 12
"""So many of the text are read for a token that is wanted: three times what a token of English or code has."""


def finetune(
    model: Path | str | None = None,
    *,
    settings: Settings | None = None,
    setups: Sequence[Setup] | None = None,
    device: str = "auto",
    again: bool = False,
    progress: Progress | None = None,
) -> FinetuneLab:
    """Fine-tune a small model once for every setup, each from the same weights on the same text.

    Args:
        model: a folder with safetensors or a GGUF file; the packaged model by default.
        settings: what all runs share.
        setups: what they differ in; `inspector.lab.plan.plan` by default.
        device: ``auto`` (a GPU if there is one), ``cpu`` or ``cuda``.
        again: make runs anew that are kept from before.
        progress: called with ``stage``, ``done``, ``total`` and ``name``.

    Raises:
        InspectorError: for a model or a device that cannot be used, or targets that the model does not have.
    """
    on = chosen_device(device)
    found = small_model(model)
    wanted = tuple(plan() if setups is None else setups)
    lab = _Lab(found, settings or Settings(), on, progress or (lambda _at: None))
    sample = sample_of(found, docstrings(), on)
    runs = []
    for done, setup in enumerate(wanted):
        lab.at = {"done": done, "total": len(wanted), "stage": f"run {done + 1} of {len(wanted)},", "name": said(setup)}
        place = place_of(sample, lab.settings, setup)
        run = None if again else kept_run(place)
        if run is None:
            run = lab.run(setup)
            keep_run(place, run)
        lab.before.setdefault(run.setup.base, run.before)
        runs.append(run)
    return FinetuneLab(sample, lab.settings, tuple(runs), len(plan()))


def said(setup: Setup) -> str:
    """A setup in a few words: ``r 8, alpha 16, attention``, the base and the seed where they are not the usual."""
    words = [f"r {setup.r}", f"alpha {setup.alpha}", setup.targets]
    words += [setup.base] if setup.base != "fp32" else []
    return ", ".join([*words, *([f"seed {setup.seed}"] if setup.seed else [])])


@dataclass
class _Lab:
    """What runs share: the model, the text held out, and its loss before any training, by the base's scheme."""

    model: SmallModel
    settings: Settings
    device: torch.device
    progress: Progress
    at: dict[str, Any] = field(default_factory=dict)
    before: dict[str, float] = field(default_factory=dict)

    def run(self, setup: Setup) -> Finetuned:
        """Build, adapt, train, and ask about the text that was held out."""
        self._tell("loading")
        settings = self.settings
        train, held = (
            windows(self.model.ids(text.text[: CHARACTERS * rows * settings.seq_len]), settings.seq_len, rows)
            for text, rows in zip(
                docstrings(setup.seed), (settings.steps * settings.batch, settings.held_out_rows), strict=True
            )
        )
        if setup.base not in self.before:
            self._tell("before training")
            # On a model of its own: once it was asked, bitsandbytes keeps 4-bit weights on a CPU in a layout whose
            # products have no gradient (``Linear4bit.forward``, ``matmul_4bit``), and it would train on wrong ones.
            self.before[setup.base] = self._loss(build(self.model.config, setup.base, self.model, self.device), held)
        built = build(self.model.config, setup.base, self.model, self.device)
        base_bytes = weigh(built).tensor_bytes
        adapted = self._adapted(built, setup)
        trained = [parameter for parameter in adapted.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=settings.learning_rate, weight_decay=0.0)
        wall, processor = time.perf_counter(), time.process_time()
        losses = [
            self._step(adapted, optimizer, batch, number) for number, batch in enumerate(train.split(settings.batch))
        ]
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
        self._tell("asked about the text held out")
        after = self._loss(adapted, held)
        if not math.isfinite(after):
            raise InspectorError(f"training at {said(setup)} diverged", hint="take a lower --learning-rate")
        state = [each for slot in optimizer.state.values() for each in slot.values() if torch.is_tensor(each)]
        held_bytes = sum(each.nbytes for each in trained)
        return Finetuned(
            setup=setup,
            before=self.before[setup.base],
            loss=after,
            first_train_loss=losses[0],
            last_train_loss=losses[-1],
            trainable=sum(each.numel() for each in trained),
            trained_bytes=held_bytes,
            step_bytes=held_bytes
            + sum(each.grad.nbytes for each in trained if each.grad is not None)
            + sum(each.nbytes for each in state),
            base_bytes=base_bytes,
            seconds=wall,
            cpu_seconds=processor,
        )

    def _adapted(self, built: Any, setup: Setup) -> Any:
        skeleton = kept_skeleton(self.model.config, self.model.name, "lab")
        targets = named_set(skeleton, setup.targets).target_modules
        # As QLoRA scripts do: norms in float32, no cache. Checkpointing would change time and memory alone.
        prepare(built, StepSetup(gradient_checkpointing=False), quantized=setup.base not in {"fp32", "bf16"})
        lora = MeasuredLora(r=setup.r, lora_alpha=setup.alpha, target_modules=targets)
        adapted = add_lora(built, lora, seed=setup.seed)
        adapted.train()
        return adapted

    def _step(self, model: Any, optimizer: torch.optim.Optimizer, batch: torch.Tensor, number: int) -> float:
        self._tell(f"step {number + 1} of {self.settings.steps}")
        ids = batch.to(self.device)
        optimizer.zero_grad(set_to_none=True)
        with quiet():
            loss = model(input_ids=ids, labels=ids).loss
            loss.backward()
        optimizer.step()
        return float(loss.detach())

    def _loss(self, model: Any, rows: torch.Tensor) -> float:
        with quiet():
            return float(token_losses(model, rows, self.settings.batch).mean())

    def _tell(self, doing: str) -> None:
        self.progress({**self.at, "name": f"{self.at.get('name', '')}: {doing}"})
