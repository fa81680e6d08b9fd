"""ftuneai beside Inspector on the published runs of several cards: what each says of a rank, and the measured bytes.

Run it as ``python benchmarks/cards_rivals.py [--again]`` where ftuneai is installed (0.4.1 was tried). It gets the
model's real sizes and parameters, and of its options those that say the run; of the highest allocated bytes its parts
that are tensors are compared, of reserved bytes its total. What it cannot be told (bitsandbytes' storage, a mixture's
experts, which layers are units) is left out. What stands in the file of results with these versions is not tried again.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import statistics
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from inspector.simulate.reports.libraries import versions
from inspector.validation.ledger import PREDICTED, simulate
from inspector.validation.models import config_of, find_model
from inspector.validation.runs import questions

if TYPE_CHECKING:
    from inspector.validation.published_run import Question

RESULTS = Path(__file__).parent / "results" / "cards_rivals.jsonl"
SETS = ("multigpu_fms", "multigpu_torchtitan")
FIGURES = ("rank_peak", "rank_reserved")
SHARDED = {"fsdp1": "fsdp", "fsdp2": "fsdp", "zero1": "zero_1", "zero2": "zero_2", "zero3": "zero_3"}
PARTS = ("model_weights_gb", "trainable_params_gb", "gradients_gb", "optimizer_states_gb", "activations_gb")


def ftuneai(run: Question) -> tuple[int, int]:
    """Its parts that are tensors, and its total, in bytes of one card."""
    from ftuneai.core.memory import BYTES_TO_GB, MemoryEstimator
    from ftuneai.core.models import (
        FineTuneMethod,
        LoRATarget,
        ModelSpec,
        Quantization,
        ShardingStrategy,
        TrainingConfig,
    )

    from inspector.architecture import build_skeleton

    config, said = config_of(find_model(run.model)), run.settings
    heads, weights = config["num_attention_heads"], build_skeleton(config, model_id=run.model).num_parameters
    spec = ModelSpec(
        run.model, weights, config["hidden_size"], config["num_hidden_layers"], heads,
        config.get("num_key_value_heads", heads), config["intermediate_size"], config["vocab_size"],
        config["max_position_embeddings"],
    )  # fmt: skip
    targets = said.get("target_modules", ())
    target = "all_linear" if targets == "all-linear" or len(targets) > 4 else "attention_all"
    asked = TrainingConfig(
        run.model, FineTuneMethod(run.method), Quantization("4bit" if run.method == "qlora" else "none"),
        said["batch_size"], said["seq_len"], bool(said.get("gradient_checkpointing")), lora_rank=said.get("r", 16),
        lora_target=LoRATarget("attention" if len(targets) == 2 else target),
        flash_attention=said.get("attention") == "flash_attention_2",
        sharding=ShardingStrategy(SHARDED[said["parallel"]]), num_gpus=said["gpus"],
    )  # fmt: skip
    found = MemoryEstimator(spec, asked).estimate()
    return round(sum(getattr(found, part) for part in PARTS) / BYTES_TO_GB), round(found.total_gb / BYTES_TO_GB)


def rows() -> list[dict[str, Any]]:
    """What is known of each run with these libraries."""
    known = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    now = {**versions(), "ftuneai": version("ftuneai")}
    return [each for each in known if each["versions"] == now]


def main() -> None:
    """Every run that both can say; then the mean of the absolute errors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--again", action="store_true")
    kept = {} if parser.parse_args().again else {each["run"]: each for each in rows()}
    for run in (each for name in SETS for each in questions(name)):
        figure = next((each for each in run.figures if each.of in FIGURES), None)
        if run.skipped or figure is None or run.id in kept or run.settings.get("parallel") not in SHARDED:
            continue
        parts, total = ftuneai(run)
        kept[run.id] = {
            "run": run.id, "on": dt.datetime.now(dt.UTC).date().isoformat(), "figure": figure.of,
            "measured": figure.measured, "ftuneai": parts if figure.of == "rank_peak" else total,
            "inspector": PREDICTED[figure.of](simulate(run)),
            "versions": {**versions(), "ftuneai": version("ftuneai")},
        }  # fmt: skip
        RESULTS.write_text("".join(json.dumps(each) + "\n" for each in kept.values()))
    for row in kept.values():
        print(row["run"], *(f"{tool} {row[tool] / row['measured'] - 1:+.3%}" for tool in ("ftuneai", "inspector")))
    for tool in ("ftuneai", "inspector"):
        errors = [abs(row[tool] / row["measured"] - 1) for row in kept.values()]
        print(f"{tool}: mean of absolute errors {statistics.mean(errors):.2%} of {len(errors)} runs")


if __name__ == "__main__":
    main()
