"""What can be measured here and, if something cannot, the one true reason and what to do about it."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, ClassVar, Literal

from inspector.architecture.libraries import need
from inspector.errors import LibraryError, in_one_line
from inspector.measure import machine
from inspector.reporting import TableReport

if TYPE_CHECKING:
    from collections.abc import Iterator

State = Literal["yes", "no", "maybe"]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing to be able to do: whether it is possible, what was found, and the fix when it is not."""

    name: str
    state: State
    found: str
    fix: str = ""


@dataclass(frozen=True)
class Doctor(TableReport):
    """Every check, in the order in which they depend on each other."""

    kind: ClassVar[str] = "doctor"

    checks: tuple[Check, ...]

    @property
    def can_measure(self) -> tuple[str, ...]:
        """The devices a quantized model can be built on here."""
        states = {check.name: check.state for check in self.checks}
        return tuple(name for name in ("cpu", "cuda") if states.get(f"quantize on {name}") == "yes")


def doctor() -> Doctor:
    """Look at this machine, this environment and this process; nothing is downloaded or changed."""
    checks = [*_packages()]
    # What comes next imports these libraries, one that does not import has just been named; no build needs PEFT.
    if all(check.state == "yes" for check in checks if check.name != "peft"):
        checks += [_fresh(), _gpu(), *_quantizing(), _nvml()]
    return Doctor((*checks, _hub()))


def _packages() -> Iterator[Check]:
    for name, installed in machine.versions().items():
        if installed is None:
            yield Check(name, "no", "not installed", f"pip install {name}")
        elif name != "python" and (failed := _why_not(name)):
            yield Check(name, "no", f"{installed}; {failed.message}", failed.hint.partition(";")[0])
        else:
            yield Check(name, "yes", installed)


def _why_not(library: str) -> LibraryError | None:
    """Why an installed library cannot be used; None where it can."""
    try:
        need(library)
    except LibraryError as error:
        return error
    return None


def _fresh() -> Check:
    """A notebook that upgraded a package still runs the old one, with the new one's files: restart it."""
    stale = []
    for name in machine.PACKAGES:
        module = sys.modules.get(name)
        loaded = getattr(module, "__version__", None)
        # torch tells its build (``+cpu``) of itself, while PyPI's wheels leave it out of their metadata.
        if loaded and str(loaded).partition("+")[0] != version(name).partition("+")[0]:
            stale.append(f"{name} {loaded} is loaded, {version(name)} is installed")
    if stale:
        return Check("this process is fresh", "no", "; ".join(stale), "restart the kernel")
    return Check("this process is fresh", "yes", "what is loaded is what is installed")


def _gpu() -> Check:
    import torch

    if torch.cuda.is_available():
        count = torch.cuda.device_count()
        names = ", ".join(torch.cuda.get_device_name(index) for index in range(count))
        return Check("GPU", "yes", f"{names} (CUDA {torch.version.cuda})")
    fixes = {
        "this is a CPU build of torch": "for a machine with an NVIDIA GPU: install torch from pytorch.org's CUDA index",
        "no NVIDIA driver on this machine": "measure on the CPU, or on a machine with an NVIDIA GPU",
        "CUDA_VISIBLE_DEVICES hides every GPU": "unset CUDA_VISIBLE_DEVICES",
    }
    why = machine.why_no_cuda()
    return Check(
        "GPU", "no", why, fixes.get(why, "see `nvidia-smi`: a driver older than torch's CUDA is the usual cause")
    )


def _quantizing() -> Iterator[Check]:
    """Quantize a small tensor for real: only that shows that bitsandbytes has a working backend."""
    import torch

    for device in ("cpu", "cuda"):
        # Why there is no GPU was said by the check before this one.
        if device == "cuda" and not torch.cuda.is_available():
            continue
        try:
            error = _error_of_nf4(device)
        except Exception as failure:  # noqa: BLE001 -- a broken binary fails in any way it likes, and that is the answer
            said = in_one_line(failure, 160)
            yield Check(f"quantize on {device}", "no", f"bitsandbytes has no working backend: {said}",
                        "pip install --upgrade bitsandbytes, then `python -m bitsandbytes`")  # fmt: skip
            continue
        if error < 0.2:  # half of nf4's widest gap is 0.15
            yield Check(f"quantize on {device}", "yes", "bitsandbytes quantized and restored a tensor")
        else:
            yield Check(f"quantize on {device}", "no", "bitsandbytes returns wrong numbers", "reinstall bitsandbytes")


def _error_of_nf4(device: str) -> float:
    """The largest error of a small tensor quantized and restored."""
    import torch

    from inspector.architecture.quiet import quiet

    with quiet():
        import bitsandbytes.functional as bnb

        # 64 blocks of bitsandbytes' usual 64; those beside zero use every code of one sign.
        weight = torch.linspace(-1, 1, 4096, device=device).view(64, 64)
        packed, state = bnb.quantize_4bit(weight, quant_type="nf4")
        return float((bnb.dequantize_4bit(packed, state) - weight).abs().max())


def _nvml() -> Check:
    import torch

    if not torch.cuda.is_available():
        return Check("memory by process (NVML)", "no", "no GPU, so nothing to ask it")
    if machine._nvml_process_bytes(torch.device("cuda", 0)) is None:
        return Check("memory by process (NVML)", "maybe", "NVML does not name this process", "pip install nvidia-ml-py")
    return Check("memory by process (NVML)", "yes", "NVML names this process")


def _hub() -> Check:
    name = "weights from the hub"
    # The values huggingface_hub takes for true, written down as it may not be installed.
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "TRUE", "YES", "ON"}:
        return Check(name, "no", "HF_HUB_OFFLINE is set", "unset it; or use random weights or a folder")
    try:
        from huggingface_hub import get_token
    except ImportError:
        return Check(name, "no", "huggingface_hub is not installed", "pip install huggingface_hub")
    if get_token() is None:
        return Check(name, "maybe", "no token: gated models such as Llama cannot be fetched",
                     "ask for access on the model's page, then `hf auth login`")  # fmt: skip
    return Check(name, "yes", "a token is there; whether a model's gate is open is known only when asked")
