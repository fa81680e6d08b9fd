"""Other estimators beside Inspector, on the same published runs: ``python benchmarks/rivals.py [--write FILE]``.

The estimators come from the package index, pinned, into an environment of their own. Each gets every run of the ledger
that it can express, through its documented Python functions, with the model's real config and parameter count (from a
hub on this machine), and the most favourable options. What their figures are compared with:

- allocated: the highest ``torch.cuda.max_memory_allocated``; theirs is the sum of the parts that are tensors;
- reserved: the highest ``torch.cuda.max_memory_reserved``; theirs adds what they allow for fragmentation;
- process: the whole process, as the driver says; theirs is the total. canifinetune says its total is of reserved
  memory with a margin, so it is compared with that. Ours adds the card's CUDA context, which on the T4 is what these
  very runs state and on the A100 was read off published runs, perhaps these: not a blind figure.

Takes five to eight minutes, most of it our own simulations.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections import Counter
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hub import serve
from rival_options import TOOLS, config_of, untold

from inspector.files import write_text
from inspector.sources.bundled import model_ids
from inspector.units import MiB
from inspector.validation.forms import FORMS
from inspector.validation.ledger import PREDICTED, simulate
from inspector.validation.runs import questions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from inspector.validation.published_run import Question

PINNED = ("canifinetune==0.4.1", "fitcheck-llm==0.3.1")
ENVIRONMENT = Path(__file__).parent / ".rivals"
OURS = "inspector"

QUANTITIES = {
    "peak": "allocated", "run_peak": "allocated", "generate_peak": "allocated",
    "reserved": "reserved", "run_reserved": "reserved", "step_reserved": "reserved",
}  # fmt: skip
"""Which of the ledger's figures the rivals have an answer to. What stays after a step neither claims to predict."""

PROCESS_MIB = {"t4_transformers_peft_loop": "process_mib", "a100_sfttrainer": "nvidia_smi_mib"}
"""Where a record says what the whole process took."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One figure of one run by one tool, in bytes."""

    tool: str
    file: str
    quantity: str
    id: str
    predicted: int
    measured: int

    @property
    def error(self) -> float:
        """Predicted over measured, less one."""
        return self.predicted / self.measured - 1


def measured(question: Question) -> dict[str, int]:
    """What was measured of a run: allocated, reserved, process."""
    found = {QUANTITIES[figure.of]: figure.measured for figure in question.figures if figure.of in QUANTITIES}
    if name := PROCESS_MIB.get(question.file):
        found["process"] = round(_record(question)[name] * MiB)
    return found


def _record(question: Question) -> dict[str, Any]:
    text = (files("inspector") / "data" / "truth" / f"{question.file}.json").read_text(encoding="utf-8")
    return next(record for record in json.loads(text) if str(record["id"]) == question.id)


def environment_python() -> str:
    """The interpreter of the rivals' environment, made when it is not there."""
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        venv.create(ENVIRONMENT, with_pip=True)
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", *PINNED], check=True)
    return str(python)


def ask(jobs: list[dict[str, Any]], python: str) -> list[dict[str, Any]]:
    """The rivals' answers, in the order of the jobs: bytes by quantity, or ``refused``."""
    models = sorted({job["model"] for job in jobs})
    bundled = [model for model in models if model in model_ids()]
    others = {model: _unbundled(model) for model in models if model not in bundled}
    worker = str(Path(__file__).parent / "rivals_worker.py")
    with serve(*bundled, extra=others) as address, tempfile.TemporaryDirectory() as home:
        variables = {**os.environ, "HF_ENDPOINT": address, "HF_HOME": home, "HF_HUB_DISABLE_TELEMETRY": "1"}
        done = subprocess.run(
            [python, worker], input=json.dumps(jobs), capture_output=True, text=True, check=True, env=variables
        )
    answers: list[dict[str, Any]] = json.loads(done.stdout)
    return answers


def _unbundled(model: str) -> tuple[Any, dict[str, Any]]:
    """A measured model that is not bundled: its skeleton and config."""
    from inspector.architecture import build_skeleton

    config = config_of(model)
    return build_skeleton(config, model_id=model), config


def ours(question: Question) -> dict[str, int]:
    """Inspector's own figures of a run."""
    report = simulate(question)
    found = {QUANTITIES[item.of]: PREDICTED[item.of](report) for item in question.figures if item.of in QUANTITIES}
    if question.file in PROCESS_MIB:
        found["process"] = found.get("reserved", report.peak_reserved_bytes) + report.gpu.context_bytes
    return found


def compare(asked: Iterable[Question], python: str) -> tuple[list[Comparison], Counter[tuple[str, str, str]]]:
    """Every tool on every run it can express, and a count of the runs it cannot by (file, tool, reason)."""
    runs = [(question, known) for question in asked if (known := measured(question))]
    jobs, owners, refused = [], [], Counter[tuple[str, str, str]]()
    for question, _ in runs:
        for tool, options_of in TOOLS.items():
            options = options_of(question)
            if isinstance(options, str):
                refused[question.file, tool, options] += 1
                continue
            jobs.append({"tool": tool, "model": question.model, "options": options})
            owners.append(question)
    answers = [(owner, job["tool"], answer) for owner, job, answer in zip(owners, jobs, ask(jobs, python), strict=True)]
    for question, _ in runs:
        if question.skipped:
            refused[question.file, OURS, question.skipped] += 1
            continue
        print(f"{question.file} {question.id}", file=sys.stderr)
        answers.append((question, OURS, ours(question)))
    found = []
    for question, tool, answer in answers:
        if "refused" in answer:
            refused[question.file, tool, answer["refused"].partition(". ")[0]] += 1
        for quantity, predicted in answer.items():
            if value := measured(question).get(quantity.partition(",")[0]):
                found.append(Comparison(tool, question.file, quantity, question.id, predicted, value))
    return found, refused


def summary(found: list[Comparison]) -> list[str]:
    """Rows of a markdown table: each set and quantity by tool, with our error on the same runs."""
    rows = [
        "| measured runs | quantity | tool | runs | mean error | worst | signed mean | ours on the same runs |",
        "|---|---|---|---|---|---|---|---|",
    ]
    own = {(item.file, item.quantity, item.id): item.error for item in found if item.tool == OURS}
    keys = dict.fromkeys((item.file, item.quantity, item.tool) for item in found)
    quantities = list(dict.fromkeys(item.quantity for item in found))
    for file, quantity, tool in sorted(
        keys, key=lambda key: (list(FORMS).index(key[0]), quantities.index(key[1]), key[2] != OURS, key[2])
    ):
        chosen = [item for item in found if (item.file, item.quantity, item.tool) == (file, quantity, tool)]
        errors = [item.error for item in chosen]
        same = [own[key] for item in chosen if (key := (file, quantity.partition(",")[0], item.id)) in own]
        beside = f"{_mean(same):.2%} of {len(same)}" if same and tool != OURS else ""
        worst = max(errors, key=abs)
        cells = (file, quantity, tool, str(len(chosen)), f"{_mean(errors):.2%}", f"{worst:+.1%}")
        rows.append(f"| {' | '.join(cells)} | {statistics.mean(errors):+.1%} | {beside} |")
    return rows


def _mean(errors: list[float]) -> float:
    return statistics.mean(abs(error) for error in errors)


def _reasons(refused: Counter[tuple[str, str, str]]) -> list[str]:
    """One line for each set and tool: how many runs it cannot express, and why, the commonest reason first."""
    reasons: dict[tuple[str, str], Counter[str]] = {}
    for (file, tool, why), number in sorted(refused.items()):
        reasons.setdefault((file, tool), Counter())[why.replace("knows no PEFT method", "PEFT method")] += number
    return [
        f"- {file}, {tool}: {sum(whys.values())} ({'; '.join(f'{n} {why}' for why, n in whys.most_common())})"
        for (file, tool), whys in reasons.items()
    ]


def document(found: list[Comparison], refused: Counter[tuple[str, str, str]], asked: Iterable[Question]) -> str:
    """The whole result as markdown: summary, what could not be expressed or told, and every run."""
    said = (__doc__ or "").split("\n\n")[1:-1]
    lines = ["# Other estimators on the same published runs", "", f"{OURS} beside {', '.join(PINNED)}.", ""]
    lines += ["\n\n".join(said), "", *summary(found), "", "## Runs not expressed", ""]
    lines += _reasons(refused)
    unsaid = Counter((question.file, name) for question in asked for name in untold(question))
    lines += ["", "## What the other two have no option for", ""]
    lines += [f"- {file}: {name} in {number} runs" for (file, name), number in sorted(unsaid.items())]
    lines += ["", "## Every run", "", "| run | quantity | measured MiB | tool | predicted MiB | error |"]
    lines += ["|---|---|---|---|---|---|"]
    lines += [
        f"| {item.file} {item.id} | {item.quantity} | {item.measured / MiB:,.1f} | {item.tool} "
        f"| {item.predicted / MiB:,.1f} | {item.error:+.2%} |"
        for item in sorted(found, key=lambda item: (item.file, item.id, item.quantity))
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run everything and print the summary."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", type=Path, help="also write every run to this markdown file")
    parser.add_argument("--python", help="an interpreter that has the rivals already")
    options = parser.parse_args()
    began = time.perf_counter()
    asked = questions()
    found, refused = compare(asked, options.python or environment_python())
    print("\n".join(summary(found)))
    if options.write:
        write_text(options.write, document(found, refused, asked))
    print(f"{time.perf_counter() - began:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
