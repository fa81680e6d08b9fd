"""A lesson as a notebook to run: it predicts, measures on the device that is there, and draws both.

Notebook format 4.5 is JSON (https://nbformat.readthedocs.io/en/latest/format_description.html); nothing in it is
computed here: every figure is made where it is run.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from inspector.safe_text import clean

if TYPE_CHECKING:
    from collections.abc import Sequence

FORMAT, MINOR = 4, 5
Cell = tuple[str, str]
"""Its kind, ``markdown`` or ``code``, and its text."""


def notebook(reference: str, *, name: str, options: Sequence[tuple[str, object]] = (), command: str = "") -> str:
    """The notebook's file.

    Args:
        reference: the model as `inspector.load` takes it.
        name: what people call it.
        options: what else `inspector.load` is told.
        command: the line that was typed, for the last cell.
    """
    cells: list[dict[str, object]] = [
        {
            "cell_type": kind,
            # An id is letters, digits, - and _, and stays the same when the notebook is made anew.
            "id": f"inspector-{number}",
            "metadata": {},
            "source": text.splitlines(keepends=True),
            **({"execution_count": None, "outputs": []} if kind == "code" else {}),
        }
        for number, (kind, text) in enumerate(_cells(reference, clean(name), options, command))
    ]
    book = {
        "cells": cells,
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
            # By these two Colab begins with a T4.
            "accelerator": "GPU",
            "colab": {"gpuType": "T4"},
        },
        "nbformat": FORMAT,
        "nbformat_minor": MINOR,
    }
    return json.dumps(book, indent=1, ensure_ascii=False) + "\n"


def _cells(reference: str, name: str, options: Sequence[tuple[str, object]], command: str) -> tuple[Cell, ...]:
    loaded = "".join(f", {key}={value!r}" for key, value in options)
    return (
        ("markdown", _TITLE.format(name=_escaped(name))),
        ("code", _INSTALL),
        ("markdown", "## What it is made of\nNo weights and no download: the real class on torch's meta device."),
        ("code", f"import inspector\n\nMODEL = {reference!r}\nmodel = inspector.load(MODEL{loaded})\nmodel.layers()"),
        ("markdown", _MEMORY),
        ("code", "model.memory()"),
        ("code", "model.memory(bits=4)"),
        ("markdown", "## What LoRA adds\nTwo thin matrices beside each target; only they train."),
        ("code", 'model.lora(target_modules="attention")'),
        ("markdown", _STEP),
        ("code", _PREDICT),
        ("markdown", _MEASURE),
        ("code", _LOOK),
        ("code", _MEASURED),
        ("markdown", _END.format(command=_escaped(clean(command)))),
    )


def _escaped(text: str) -> str:
    """A name as markdown that is only text: HTML and what markdown reads in a name are spelled out."""
    return "".join(f"&#{ord(letter)};" if letter in "<>&[]`*\\$!" else letter for letter in text)


_TITLE = """\
# {name}: predicted, then measured
First Inspector says what memory it takes, without a GPU; then the same is built for real on the device of this
machine, and both stand side by side. In Colab: *Runtime*, *Change runtime type*, *T4 GPU*; without a GPU it says so and
goes on."""

_INSTALL = """\
# A package's name, a wheel that you uploaded, or git+https://... of a repository
INSTALL = "llm-inspector"

import importlib.util

if importlib.util.find_spec("inspector") is None:
    %pip install --quiet {INSTALL}"""

_MEMORY = """\
## Its weights at each precision
Before you run it: how many GB do you expect at 4 bits? Parameters divided by two is the naive figure; what is not
quantized, and the constants beside what is, make the rest."""

_STEP = """\
## One step of QLoRA on a T4
A real step of transformers, PEFT and bitsandbytes on tensors that have shapes and no data, every allocation replayed
through a model of PyTorch's allocator."""

_PREDICT = """\
SEQ_LEN = 256

model.finetune(method="qlora", gpu="T4", dtype="float16", r=8, seq_len=SEQ_LEN)"""

_MEASURE = """\
## And now for real
The quantized model with random weights (memory does not depend on what they are), real adapters, real steps. The
prediction beside it is of this very device. On a CPU two layers are built, with short rows, and the whole is left to a
GPU."""

_LOOK = """\
import torch

if torch.cuda.is_available():
    print(f"measured on {torch.cuda.get_device_name()}")
    here = {"device": "cuda", "seq_len": SEQ_LEN}
else:
    print("There is no GPU here: the first two layers are measured on the CPU instead.")
    here = {"device": "cpu", "seq_len": 32, "layers": 2}"""

_MEASURED = """\
try:
    measured = model.measure(scheme="nf4-dq", lora=True, r=8, step=True, batch_size=1, **here)
except inspector.InspectorError as error:  # too little memory, or no library for this device
    measured = None
    print(error)
measured"""

_END = """\
## Try next
- Double `SEQ_LEN`. Which bars move, which stay?
- `r=64` instead of 8: what does it cost beside the base weights?
- `scheme="int8"` instead of `"nf4-dq"`: what is larger, the weights or the step?
- Your own script: `inspector run --gpu T4 train.py` dry-runs it without a GPU.

This notebook was written by `{command}`."""
