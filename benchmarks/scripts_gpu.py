"""Run scripts for real on the GPU that is here, and say beside each figure what `inspector run` predicts for it.

Usage: python benchmarks/scripts_gpu.py [SCRIPT [ARGUMENT ...]]       one script, or without one all of PROGRAMS
       make scripts-gpu PYTHON=python3                                a Python whose PyTorch has CUDA

Figures are bytes: what the process allocated and reserved at most, and each line of a script's own that ends with
bytes (``PEAK name n``, ``NOW name n``, ``PIECE name n n``). A bundled model that a script names is written once with
random weights, which take what trained ones do, and its folder stands for the name: no network is needed. Exits 1
where a script fails or a figure is off by more than half a percent, 2 where there is no GPU.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
os.environ.setdefault("HF_HUB_OFFLINE", "1")

PROGRAMS = (
    "tests/simulate/script/programs/ordinary.py",
    "tests/simulate/script/programs/torture.py",
    "docs/examples/train.py",
    "docs/examples/finetune.py",
)
MOST_PERCENT = 0.5
LONGEST_RUN = 300
"""Seconds."""

# The highest of all: a script may begin its count anew, as often as it likes.
_REAL = """
import runpy, sys, torch
script, sys.path[0], *rest = sys.argv[1:]
sys.argv = [script, *rest]
seen = [0, 0]
def look():
    seen[:] = [max(seen[0], torch.cuda.max_memory_allocated()), max(seen[1], torch.cuda.max_memory_reserved())]
for name in ("reset_peak_memory_stats", "reset_max_memory_allocated"):
    def begin(*args, real=getattr(torch.cuda, name), **kwargs):
        look()
        real(*args, **kwargs)
    setattr(torch.cuda, name, begin)
try:
    runpy.run_path(script, run_name="__main__")
finally:
    look()
    print("WHOLE allocated", seen[0], flush=True)
    print("WHOLE reserved", seen[1], flush=True)
"""
_FIGURES = re.compile(r"((?:PEAK|NOW|WHOLE) .+(?= )|PIECE \S+)((?: -?\d+){1,2})$")


def main(words: list[str]) -> int:
    """Run them one after another; the exit code."""
    try:
        import torch
    except ImportError:
        print("scripts-gpu: this Python has no PyTorch: make scripts-gpu PYTHON=...", file=sys.stderr)
        return 2
    if not torch.cuda.is_available():
        print("scripts-gpu: PyTorch finds no CUDA GPU here, and without one nothing is measured", file=sys.stderr)
        return 2
    programs = [words] if words else [[str(ROOT / name)] for name in PROGRAMS]
    return max(int(_told(Path(script), args)) for script, *args in programs)


def _told(script: Path, args: list[str]) -> bool:
    """One script, both ways; whether anything is wrong."""
    print(f"{script.name} {' '.join(args)}".strip(), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        real = _real(script, args, Path(folder))
        dry = _dry(script, args) if real is not None else None
    if real is None or dry is None:
        return True
    wrong = False
    for name, predicted, measured in compared(dry, real):
        if predicted is None or measured is None:
            print(f"  {name:34} only {'measured' if predicted is None else 'predicted'}", flush=True)
            wrong = True
            continue
        off = 100 * (predicted - measured) / max(abs(measured), 1)
        print(f"  {name:34} {predicted:>16,} predicted {measured:>16,} measured {off:+8.3f}%", flush=True)
        wrong = wrong or abs(off) > MOST_PERCENT
    return wrong


def compared(dry: str, real: str) -> list[tuple[str, int | None, int | None]]:
    """Each figure by its name: predicted and measured bytes, None for one that the other run did not print."""
    predicted, measured = figures(dry), figures(real)
    return [(name, predicted.get(name), measured.get(name)) for name in {**measured, **predicted}]


def figures(text: str) -> dict[str, int]:
    """The figures that a script printed, in bytes; the last of a name counts, several in a line are numbered."""
    found = {}
    for line in text.splitlines():
        if match := _FIGURES.match(line.strip()):
            values = match[2].split()
            for number, value in enumerate(values, start=1):
                found[match[1] if len(values) == 1 else f"{match[1]} {number}"] = int(value)
    return found


def _real(script: Path, args: list[str], folder: Path) -> str | None:
    """What it prints on the card; None where it fails."""
    text = script.read_text(encoding="utf-8")
    for name in sorted(set(re.findall(r"[\"']([\w.-]+/[\w.-]+)[\"']", text))):
        if (weights := _weights(name, folder)) is not None:
            text = text.replace(f'"{name}"', repr(str(weights))).replace(f"'{name}'", repr(str(weights)))
    copy = folder / script.name
    copy.write_text(text, encoding="utf-8")
    command = [sys.executable, "-c", _REAL, str(copy), str(script.resolve().parent), *args]
    environment = {**os.environ, "DEVICE": "cuda"}
    try:
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False,
                              timeout=LONGEST_RUN)  # fmt: skip
    except subprocess.TimeoutExpired:
        print(f"  ended on the card after {LONGEST_RUN} s", flush=True)
        return None
    if done.returncode:
        print(f"  failed on the card: {(done.stderr.strip().splitlines() or ['without a word'])[-1]}", flush=True)
        return None
    return done.stdout


def _weights(name: str, folder: Path) -> Path | None:
    """A folder with a bundled model of random weights; None for a name that is none."""
    from inspector.errors import InspectorError
    from inspector.sources.bundled import bundled_config, find

    try:
        model_id = find(name)
    except InspectorError:
        return None
    if model_id is None:
        return None
    place = folder / model_id.replace("/", "--")
    if not place.exists():
        import json

        import torch
        from transformers import AutoConfig, AutoModelForCausalLM

        place.mkdir()
        (place / "config.json").write_text(json.dumps(bundled_config(model_id)), encoding="utf-8")
        config = AutoConfig.from_pretrained(place)
        model = AutoModelForCausalLM.from_config(config, dtype=getattr(config, "dtype", None) or torch.float32)
        model.save_pretrained(place)
    return place


def _dry(script: Path, args: list[str]) -> str | None:
    """What it prints without the card, and the report's own figures; None where it fails."""
    command = [sys.executable, "-c", _DRY, str(script), *args]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"  failed in the dry run: {(done.stderr.strip().splitlines() or ['without a word'])[-1]}", flush=True)
        return None
    return done.stdout


_DRY = """
import sys, torch
from inspector.errors import InspectorError
from inspector.gpus import find_gpu
from inspector.simulate.script.running import run
name, card = torch.cuda.get_device_name(), {}
try:
    card = {"gpu": find_gpu(name).name}
except InspectorError:  # a card that is not catalogued, by its memory
    card = {"vram": f"{torch.cuda.get_device_properties(0).total_memory // 2**20}MiB"}
report = run(sys.argv[1], sys.argv[2:], **card)
print("WHOLE allocated", report.peaks.allocated)
print("WHOLE reserved", report.peaks.reserved, flush=True)
sys.exit(report.script_exit_code)
"""

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
