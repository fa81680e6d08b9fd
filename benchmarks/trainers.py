"""Trainers of trl, transformers and others, two steps each, and trl's own commands, under `inspector run`.

Run it as ``python benchmarks/trainers.py [--again] [NAME ...]``. Each trainer trains a tiny model for two steps on the
simulated card and for real on the CPU that is here; what it says of itself (steps, columns of its log, shapes) must be
the same. Bytes at the peak and left behind stand beside those that the CPU's profiler saw, in blocks of 512: equal but
for the batches, which a CPU counts as its own; where both do not compute alike, ``why`` says so. trl takes Triton's
kernels on a card and none on a CPU: what is compared is without them (``card_plain``), what a card takes is ``card``.
Commands run on the card alone. A published run on an L40S is repeated by a script, beside what options say. What has
been tried with these versions and this text stands in the file of results and is not tried again, so that a run may be
stopped and taken up. A trainer whose library is not installed is left out.
"""

from __future__ import annotations

import argparse
import datetime as dt
import hashlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

RESULTS = Path(__file__).parent / "results" / "trainers.jsonl"
PROGRAMS = ROOT / "tests" / "simulate" / "script" / "programs"
LIBRARIES = ("torch", "transformers", "trl", "accelerate", "datasets", "peft", "lightning", "sentence-transformers")
CARD = "T4"
TRL = "trl_trainers.py"

HABITS = "habits.py"
BESIDE = {HABITS: ("habits_parts.py",)}
"""Modules of a program's own."""

_COUNTED = "what it keeps on the host, of the optimizer the counts of steps, a CPU counts with the rest"
_WHOLE = "its largest tensor is over 1 MiB: a card hands out a block whole that leaves less, and counts it"
_BROUGHT = "it brings the weights to the card within the run, and back: 821,760 bytes that a CPU has already"
_DROPOUT = "a CPU keeps what dropout leaves out as numbers, a card as bytes"


@dataclass(frozen=True)
class Case:
    """A trainer of a program. ``why`` says what a CPU allocates otherwise; "" for one that must be equal.

    ``batch`` is a batch's bytes. On a card copies of it are counted alone; on a CPU it is itself, with the rows that it
    was made of and the next one, which the loader has ready: up to three of them are between the two.
    """

    program: str
    needs: str = "trl"
    why: str = ""
    batch: int = 2048


CASES = {
    **{name: Case(TRL) for name in ("sft", "packed", "dpo", "adapter", "kto", "orpo", "cpo", "reward", "gkd")},
    **{name: Case(TRL, why=_WHOLE) for name in ("grpo", "rloo")},
    "trainer": Case("whole_trainers.py", "datasets"),
    "seq2seq": Case("whole_trainers.py", "datasets", _DROPOUT),
    "vision": Case("whole_trainers.py", "datasets", batch=2 * 3 * 32 * 32 * 4),
    "accelerated": Case("whole_trainers.py", "datasets"),
    "lightning": Case("whole_trainers.py", "lightning", _BROUGHT),
    "sentences": Case("whole_trainers.py", "sentence_transformers"),
    **{name: Case(HABITS, "yaml", _COUNTED) for name in ("reads_its_settings", "keeps_and_takes_up", "mixed")},
    **{name: Case(HABITS, "yaml") for name in ("hooks", "checkpoints", "streams", "convolutions")},
    "workers": Case(HABITS, "yaml", batch=4 * 16 * 128 * 4),
    **{name: Case("habits_models.py", "peft") for name in (
        "pipelines", "classifies", "generates", "beams", "distils", "adapters", "contrasts", "translates", "sees")},
}  # fmt: skip

_PAIR = {"prompt": "Say it: ", "chosen": "that is so", "rejected": "it is not"}
# A conversation: trl's reward indexes the messages of an answer.
_ASKED = {"prompt": [{"role": "user", "content": "Say it: "}]}
COMMANDS: dict[str, tuple[list[str], dict[str, Any]]] = {
    "sft": ([], {"text": "that is so, and it is said often"}),
    "dpo": ([], _PAIR),
    "kto": ([], {"prompt": "Say it: ", "completion": "that is so", "label": True}),
    "reward": ([], _PAIR),
    "grpo": (["--reward_funcs", "think_format_reward", "--num_generations", "2", "--max_completion_length", "8"],
             _ASKED),
    "rloo": (["--reward_funcs", "think_format_reward", "--num_generations", "2", "--max_completion_length", "8"],
             _ASKED),
}  # fmt: skip
"""``trl NAME``: what it asks for besides a model and rows, and a row."""


PUBLISHED = "published_l40s.py"
PUBLISHED_RUNS = {"l40s": "lora/llama-3.2-3B-rank64-rslora (B)"}
"""Runs of the ledger that a script repeats: its bytes are to be those that the same run has by options."""

OPTIONS = "as_options.py"
AS_OPTIONS: dict[str, dict[str, Any]] = {
    "qlora": {
        "method": "qlora", "scheme": "nf4", "double_quant": True, "dtype": "float16", "r": 8, "alpha": 16,
        "dropout": 0.05, "target_modules": "all-linear", "padding_mask": True, "grad_clip": 1.0,
        "optimizer": "adamw_torch",
    },
    "scaled": {
        "method": "full", "dtype": "float32", "autocast": "fp16", "grad_accum": 2, "grad_clip": 1.0,
        "optimizer": "adamw_torch", "gradient_checkpointing": True,
    },
    "by_trainer": {
        "method": "full", "dtype": "bfloat16", "optimizer": "adamw_8bit", "optimizer_by": "trainer",
        "gradient_checkpointing": False, "outputs": "loss", "zero_grad": "after", "labels": "clone",
        "use_cache": False,
    },
    "eight_bits": {"method": "full", "dtype": "bfloat16", "optimizer": "adamw_8bit", "gradient_checkpointing": False},
}  # fmt: skip

"""Programs beside the settings that say them: the same bytes, but for the few numbers of a scaler."""

OBJECTIVES, GENERATING, PPO = "trl_objectives.py", "trl_generating.py", "trl_ppo.py"
_SAMPLES = {
    "dtype": "bfloat16", "batch_size": 2, "seq_len": 64, "prompt_len": 24, "grad_clip": 1.0, "optimizer": "sgd",
    "gradient_checkpointing": True, "method": "full", "use_cache": False,
}  # fmt: skip
AS_OBJECTIVES: dict[str, dict[str, Any]] = {
    "dpo": {"objective": "dpo"},
    "precomputed": {"objective": "dpo", "ref_model": "precomputed", "optimizer": "adamw_torch"},
    "adapter": {"objective": "dpo", "method": "lora", "r": 8, "alpha": 8, "target_modules": "all-linear"},
    **{kind: {"objective": kind} for kind in ("kto", "orpo", "cpo", "simpo", "reward")},
    "grpo": {"objective": "grpo", "num_generations": 2},
    "several": {"objective": "grpo", "num_generations": 2, "grad_accum": 2, "ref_model": "copy"},
    "rloo": {"objective": "rloo", "num_generations": 2},
    "scored": {
        "objective": "grpo",
        "num_generations": 2,
        "grad_accum": 2,
        "reward_model": "EleutherAI/pythia-14m",
    },
    "synced": {"objective": "rloo", "num_generations": 2, "sync_ref_model": True},
    "gkd": {"objective": "gkd", "teacher": "EleutherAI/pythia-14m"},
    "distill": {
        "objective": "distill",
        "teacher": "EleutherAI/pythia-14m",
        "grad_accum": 2,
        "method": "lora",
        "r": 8,
        "alpha": 8,
        "target_modules": "all-linear",
    },
    "mixed": {"objective": "orpo", "dtype": "float32", "autocast": "bf16", "outputs_fp32": True},
    "ppo": {
        "objective": "ppo",
        "reward_model": "EleutherAI/pythia-14m",
        "grad_accum": 2,
        "optimizer": "adamw_torch",
        "grad_clip": 0.0,
        "gradient_checkpointing": False,
        "use_cache": True,
    },
    "prm": {"objective": "prm"},
    "follows": {"objective": "dpo", "sync_ref_model": True, "optimizer": "adamw_torch"},
}
"""Trainers of trl beside the settings that say them: the same bytes, but for batches and a few numbers."""

EVALUATES = "trainer_evaluates.py"
_EVALUATED = {"eval_batch": 4, "eval_batches": 5}
AS_EVALUATIONS: dict[str, dict[str, Any]] = {
    "loss": _EVALUATED,
    "logits": _EVALUATED | {"eval_gather": "logits"},
    "accumulated": _EVALUATED | {"eval_gather": "logits", "eval_accum": 2},
    "argmax": _EVALUATED | {"eval_gather": "argmax"},
    "generated": _EVALUATED | {"eval_gather": "generated", "generation_max_length": 48, "target_len": 4},
    "beams": _EVALUATED | {"eval_gather": "generated", "generation_max_length": 48, "target_len": 4,
                           "generation_num_beams": 4},
}  # fmt: skip
"""Trainer's evaluation, on the card, on the CPU and by options: the same bytes, but for batches."""
OF_SEQ2SEQ = frozenset({"generated", "beams"})
EVALUATION_OFF = 8192
"""Bytes: the batches that a loader has ready, of ids and labels."""

OF_OTHER_RELEASES = {"prm": "trl.experimental.prm", "ppo": "trl.experimental.ppo"}
"""Trainers that not every release of trl has: tried where it does (prm up to 1.13, ppo up to 1.12)."""

MOST_OFF = 0.001
"""Of a published run's steady bytes, between script and options."""

ALL = [
    *CASES,
    *PUBLISHED_RUNS,
    *AS_OPTIONS,
    *(f"options-{each}" for each in AS_OBJECTIVES),
    *(f"evaluates-{each}" for each in AS_EVALUATIONS),
    *(f"trl-{each}" for each in COMMANDS),
]


_OF = {
    **dict.fromkeys(PUBLISHED_RUNS, PUBLISHED),
    **dict.fromkeys(AS_OPTIONS, OPTIONS),
    **{
        f"options-{each}": GENERATING if "num_generations" in said or each == "distill" else OBJECTIVES
        for each, said in AS_OBJECTIVES.items()
    },
    "options-ppo": PPO,
    **{f"evaluates-{each}": EVALUATES for each in AS_EVALUATIONS},
}


def main() -> int:
    """Try what has not been tried; 1 where a trainer fails, or differs where it must not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(CASES)}, or trl-NAME for a command")
    parser.add_argument("--again", action="store_true")
    said = parser.parse_args()
    kept = read()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        _models(folder)
        os.chdir(folder)
        wanted = said.names or ALL
        todo = [name for name in wanted if said.again or name not in kept]
        for program in dict.fromkeys(case.program for case in CASES.values()):
            names = [name for name in todo if name in CASES and CASES[name].program == program]
            names = [name for name in names if _installed(CASES[name].needs)]
            # One start for all of them: imports take longer than two steps. What failed ends it, and the rest follow.
            while names:
                for name, row in _trainers(program, names, folder).items():
                    names.remove(name)
                    _keep(kept, name, row)
        for prefix, together in (("options-", _objectives), ("evaluates-", partial(_evaluations, folder))):
            names = [name.removeprefix(prefix) for name in todo if name.startswith(prefix)]
            names = [name for name in names if _is_there(OF_OTHER_RELEASES.get(name, ""))]
            for name, row in together(names).items() if names and _installed("trl") else ():
                _keep(kept, prefix + name, row)
        for name in todo:
            if name in PUBLISHED_RUNS:
                _keep(kept, name, _published(PUBLISHED_RUNS[name]))
            elif name in AS_OPTIONS:
                _keep(kept, name, _as_options(name))
            elif name.startswith("trl-") and _installed("trl"):
                _keep(kept, name, _command(name.removeprefix("trl-"), folder))
    wrong = [name for name, row in kept.items() if row["verdict"] not in {"ran", "equal"}]
    print(f"{len(kept)} of {len(ALL)} tried", *(f"{name}: {kept[name]['verdict']}" for name in wrong))
    return int(bool(wrong))


def read() -> dict[str, dict[str, Any]]:
    """What was found with these versions and these programs, by name."""
    rows = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    return {row["name"]: row for row in rows if row["versions"] == versions() and row["text"] == text(row["name"])}


def versions() -> dict[str, str]:
    """Of the libraries that are here."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def text(name: str) -> str:
    """A digest of the program that a row is of."""
    program = CASES[name].program if name in CASES else _OF.get(name, "")
    names = [program, "measuring.py", *BESIDE.get(program, ())] if program else []
    told = json.dumps(COMMANDS.get(name.removeprefix("trl-"), "")).encode()
    return hashlib.sha256(b"".join((PROGRAMS / each).read_bytes() for each in names) or told).hexdigest()[:16]


def _is_there(module: str) -> bool:
    """Whether this release has a module; true of none."""
    try:
        return not module or _installed(module)
    except ModuleNotFoundError:  # what it would be in is not there either
        return False


def _installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _keep(kept: dict[str, dict[str, Any]], name: str, row: dict[str, Any]) -> None:
    today = dt.datetime.now(dt.UTC).date().isoformat()
    kept[name] = {"name": name, "on": today, "text": text(name), "versions": versions(), **row}
    # What was found with other libraries stays until it is tried anew.
    rows = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    every = {row["name"]: row for row in rows} | kept
    RESULTS.write_text("".join(json.dumps(one) + "\n" for one in every.values()))
    print(json.dumps({"name": name, **row}), flush=True)


def _trainers(program: str, names: list[str], folder: Path) -> dict[str, dict[str, Any]]:
    """Both runs of trainers, and a third with kernels that a card has and a CPU has not; up to one that failed."""
    words = [str(PROGRAMS / program), str(folder / "causal" if program == TRL else folder), *names]
    real = _run([sys.executable, *words], DEVICE="cpu", OMP_NUM_THREADS="1")
    command = [sys.executable, "-m", "inspector", "run", "--gpu", CARD, "--no-advise", *words]
    plain = _run(command, PLAIN="1")
    usual = _run(command) if program == TRL else plain
    rows = {}
    for name in names:
        rows[name] = _row(CASES[name], *(_of(name, run) for run in (real, plain, usual)))
        if rows[name]["verdict"].startswith("fails"):
            break
    return rows


def _row(case: Case, real: dict[str, Any], plain: dict[str, Any], usual: dict[str, Any]) -> dict[str, Any]:
    row = {"card": usual["bytes"], "card_plain": plain["bytes"], "cpu": real["bytes"], "why": case.why}
    for where, run in (("on the CPU", real), ("on the card", plain), ("on the card", usual)):
        if run["error"]:
            return {"verdict": f"fails {where}: {run['error']}", **row}
    if not real["says"] == plain["says"] == usual["says"]:
        return {"verdict": f"says {plain['says']}, for real {real['says']}", **row}
    off = abs(real["bytes"][0] - plain["bytes"][0])
    if not case.why and off > 3 * case.batch:
        return {"verdict": f"{off} bytes off", **row}
    return {"verdict": "ran" if case.why else "equal", **row}


def _run(command: list[str], **environment: str) -> tuple[list[str], str]:
    """What a program printed, and the last line of its error."""
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    env = {**os.environ, "PYTHONPATH": paths, **environment}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    errors = [line for line in done.stderr.splitlines() if "Error" in line] or done.stderr.splitlines()[-1:]
    return done.stdout.splitlines(), (errors or ["without a word"])[-1][:200]


def _of(name: str, run: tuple[list[str], str]) -> dict[str, Any]:
    """What one trainer said of itself, its peak and rest, and the error where it said nothing."""
    lines, error = run
    of_it = {line.split()[0]: line for line in lines if line.split()[1:2] == [name]}
    piece = of_it["PIECE"].split()[2:] if "PIECE" in of_it else []
    says = of_it.get("SAYS", "")
    return {"says": says, "bytes": [int(each) for each in piece], "error": "" if says else error}


def _command(name: str, folder: Path) -> dict[str, Any]:
    """``trl NAME`` on the card, to its end."""
    words, row = COMMANDS[name]
    rows = folder / f"{name}.jsonl"
    rows.write_text("\n".join([json.dumps(row)] * 8))
    command = [
        sys.executable, "-m", "inspector", "run", "--gpu", CARD, "--no-advise", "--steps", "2", "--json", "--data",
        f"someone/rows={rows}", "--", "trl", name, "--model_name_or_path", str(folder / "causal"), "--dataset_name",
        "someone/rows", "--output_dir", "out", "--report_to", "none", "--per_device_train_batch_size", "2", *words,
    ]  # fmt: skip
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    try:
        report = json.loads(done.stdout)
    except ValueError:
        return {"verdict": f"fails: {(done.stderr.strip().splitlines() or ['without a word'])[-1][:200]}"}
    stages = list(report["stages"])
    good = report["script_exit_code"] == 0 and {"load", "first step", "save"} <= set(stages)
    return {"verdict": "ran" if good else f"ended with {report['script_exit_code']}", "stages": stages}


def _published(run: str) -> dict[str, Any]:
    """A published run by a script in its authors' form, beside `inspector validate`, and what was measured."""
    from inspector.validation.ledger import simulate
    from inspector.validation.runs import questions

    asked = next(each for each in questions("l40s_peft_benchmark") if each.id == run)
    settings = asked.settings
    words = [settings["r"], settings["alpha"], settings["seq_len"], settings["steps"], settings["empty_cache_every"]]
    command = [sys.executable, "-m", "inspector", "run", "--gpu", asked.gpu, "--no-advise", str(PROGRAMS / PUBLISHED)]
    lines, error = _run([*command, asked.model, *map(str, words)])
    after = [int(line.split()[1]) for line in lines if line.startswith("AFTER")]
    if len(after) != settings["steps"]:
        return {"verdict": f"fails on the card: {error}"}
    said = simulate(asked).steady_allocated_bytes
    measured = next(figure.measured for figure in asked.figures if figure.of == "steady")
    off = after[-1] / said - 1
    row = {
        "card": after,
        "options": said,
        "measured": measured,
        "off_options": off,
        "off_measured": after[-1] / measured - 1,
    }
    return {"verdict": "equal" if abs(off) <= MOST_OFF else f"{off:+.3%} off", **row}


def _as_options(name: str) -> dict[str, Any]:
    """A program and the settings that say the same, on a card that multiplies in 16 bits."""
    from inspector.simulate.finetuning import finetune

    model, card = "EleutherAI/pythia-14m", "A10"
    command = [sys.executable, "-m", "inspector", "run", "--gpu", card, "--no-advise", str(PROGRAMS / OPTIONS)]
    lines, error = _run([*command, model, name])
    found = [int(line.split()[2]) for line in lines if line.startswith("PEAK")]
    said = finetune(model, batch_size=2, seq_len=128, steps=2, gpu=card, **AS_OPTIONS[name])
    wanted = [max(item.peak_allocated for item in said.stages if item.step == step) for step in range(2)]
    off = max((abs(one - other) for one, other in zip(found, wanted, strict=False)), default=0)
    verdict = f"fails on the card: {error}" if len(found) != len(wanted) else f"{off} bytes off"
    good = len(found) == len(wanted) and off <= (4096 if name in {"scaled", "by_trainer"} else 0)
    return {"verdict": "equal" if good else verdict, "card": found, "options": wanted}


def _objectives(names: list[str]) -> dict[str, dict[str, Any]]:
    """Trainers of trl and the settings that say the same, on a card that multiplies in 16 bits; one start a program."""
    model, card = "EleutherAI/pythia-14m", "A10"
    lines, error = [], ""
    for program in (OBJECTIVES, GENERATING, PPO):
        if some := [name for name in names if _OF[f"options-{name}"] == program]:
            command = [sys.executable, "-m", "inspector", "run", "--gpu", card, "--no-advise", str(PROGRAMS / program)]
            said, error = _run([*command, model, *some])
            lines += said
    found = {}
    for name in names:
        peaks = [int(line.split()[2]) for line in lines if line.startswith(f"PEAK {name} ")]
        wanted = objective_peaks(name)
        # The second step: the trainers before have left the first one the workspace of the backward's thread.
        off = abs(peaks[1] - wanted[1]) if len(peaks) == len(wanted) else 0
        most = PPO_OFF if name == "ppo" else OBJECTIVE_OFF
        verdict = f"fails on the card: {error}" if len(peaks) != len(wanted) else f"{off} bytes off"
        good = len(peaks) == len(wanted) and off <= most
        found[name] = {"verdict": "equal" if good else verdict, "card": peaks, "options": wanted}
    return found


def _evaluations(folder: Path, names: list[str]) -> dict[str, dict[str, Any]]:
    """What an evaluation takes above what was there: under `inspector run`, for real, and by options."""
    found = {}
    for kind, some in (
        ("causal", [name for name in names if name not in OF_SEQ2SEQ]),
        ("seq2seq", [name for name in names if name in OF_SEQ2SEQ]),
    ):
        if some:
            found |= _evaluated(folder / kind, some)
    return found


def _evaluated(model: Path, names: list[str]) -> dict[str, dict[str, Any]]:
    """Those of one model."""
    words = [str(PROGRAMS / EVALUATES), str(model), *names]
    real = _run([sys.executable, *words], DEVICE="cpu", OMP_NUM_THREADS="1")
    card = _run([sys.executable, "-m", "inspector", "run", "--gpu", CARD, "--no-advise", *words])
    found = {}
    for name in names:
        seen = {where: _of(name, run) for where, run in (("cpu", real), ("card", card))}
        row = {where: one["bytes"][:1] for where, one in seen.items()} | {"options": [evaluation_peak(name, model)]}
        failed = next((f"fails on the {where}: {one['error']}" for where, one in seen.items() if one["error"]), "")
        # On a CPU what goes to the host stays where it is.
        beside = ("card",) if "eval_accum" in AS_EVALUATIONS[name] else ("cpu", "card")
        off = 0 if failed else max(abs(row[where][0] - row["options"][0]) for where in beside)
        verdict = failed or ("equal" if off <= EVALUATION_OFF else f"{off} bytes off")
        found[name] = {"verdict": verdict, **row}
    return found


def evaluation_peak(name: str, model: Path) -> int:
    """Bytes at the peak of an evaluation above what a step leaves behind, by options."""
    from inspector.simulate.finetuning import finetune

    said = finetune(
        str(model), gpu=CARD, steps=1, method="full", dtype="float32", attention="eager", optimizer="sgd", seq_len=64,
        # T5's decoder has a config of its own, which Trainer's ``use_cache`` does not reach.
        use_cache=name in OF_SEQ2SEQ, gradient_checkpointing=False, outputs="loss", zero_grad="after",
        **AS_EVALUATIONS[name],
    )  # fmt: skip
    return said.stage_peak("evaluation").peak_allocated - said.stage_peak("optimizer").end_allocated


OBJECTIVE_OFF = 6144
"""Bytes: a batch of the next step, which the loader has ready, or the numbers of the trainer's log."""
PPO_OFF = 24576
"""Bytes: a loop that keeps its masks, ids and statistics in fifty names, of which each takes a block of 512."""


def objective_peaks(name: str) -> list[int]:
    """The peak of each of two steps, by options."""
    from inspector.simulate.finetuning import finetune

    said = finetune("EleutherAI/pythia-14m", gpu="A10", steps=2, **(_SAMPLES | AS_OBJECTIVES[name]))
    return [max(item.peak_allocated for item in said.stages if item.step == step) for step in range(2)]


def _models(folder: Path) -> None:
    """Tiny models of random weights, with tokenizers that stand in for real ones."""
    import torch
    import transformers as of

    from inspector.simulate.script.child.tokenizer import write_tokenizer

    torch.manual_seed(0)
    layers = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    t5 = of.T5Config(
        vocab_size=1024, d_model=64, d_ff=128, num_layers=2, num_heads=4, d_kv=16, decoder_start_token_id=0
    )
    made: dict[str, Any] = {
        "causal": of.LlamaForCausalLM(of.LlamaConfig(**layers, vocab_size=1024, num_key_value_heads=2, pad_token_id=0)),
        "seq2seq": of.T5ForConditionalGeneration(t5),
        "vision": of.ViTForImageClassification(of.ViTConfig(**layers, image_size=32, patch_size=8)),
        "encoder": of.BertModel(of.BertConfig(**layers, vocab_size=1024)),
    }
    for name, model in made.items():
        model.save_pretrained(folder / name)
        if name != "vision":
            write_tokenizer(folder / name, json.loads((folder / name / "config.json").read_text()), name)


if __name__ == "__main__":
    sys.exit(main())
