"""The given messages put as each PyTorch puts them, and helpers to say the same of any figures."""

# ruff: noqa: E501 -- messages and lines of code as they are printed

import json
from functools import cache
from importlib.resources import files

SPLIT = (" If reserved memory is >> allocated memory try setting max_split_size_mb to avoid fragmentation.  See "
         "documentation for Memory Management and PYTORCH_CUDA_ALLOC_CONF")  # fmt: skip
HINTS = {
    "F4": "max_split_size_mb to avoid fragmentation.",
    "F5": "PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True to avoid fragmentation.",
    "F5p": "PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True to avoid fragmentation.",
    "F6": "PYTORCH_ALLOC_CONF=expandable_segments:True to avoid fragmentation.",
}


@cache
def given():
    """The rows of the published messages."""
    text = (files("inspector") / "data" / "truth" / "oom_messages.json").read_text(encoding="utf-8")
    return json.loads(text)["messages"]


def put(form, printed, device="CUDA"):
    """A message of these printed figures, in the words of a form; cut off where figures end."""
    said = f"{device} out of memory. Tried to allocate {printed['tried']}"
    if not printed.get("capacity"):
        return said
    if form in {"F1", "F2", "F3"}:
        last = (
            f"{printed['cached']} cached"
            if form == "F1"
            else f"{printed['reserved_total']} reserved in total by PyTorch"
        )
        said += (f" (GPU {printed['gpu']}; {printed['capacity']} total capacity; {printed['allocated_by_pytorch']} already "
                 f"allocated; {printed['free']} free; {last})")  # fmt: skip
        return said + (SPLIT if form == "F3" else "")
    word = "capacty" if form == "F4" else "capacity"
    said += f". GPU {printed['gpu']} has a total {word} of {printed['capacity']} of which {printed['free']} is free."
    for number, size in enumerate(printed.get("other_processes") or ()):
        said += f" Process {4000 + number} has {size} memory in use."
    if printed.get("this_process"):
        said += f" Including non-PyTorch memory, this process has {printed['this_process']} memory in use."
    if printed.get("allowed"):
        said += f" {printed['allowed']} allowed;"
    if printed.get("allocated_by_pytorch"):
        said += f" Of the allocated memory {printed['allocated_by_pytorch']} is allocated by PyTorch,"
    if printed.get("in_private_pools"):
        said += f" with {printed['in_private_pools']} allocated in private pools (e.g., CUDA Graphs),"
    if printed.get("reserved_unallocated"):
        said += f" and {printed['reserved_unallocated']} is reserved by PyTorch but unallocated."
    return f"{said} If reserved but unallocated memory is large try setting {HINTS[form]}"
