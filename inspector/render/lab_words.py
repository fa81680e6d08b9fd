"""What pages and charts of the lab share: on what, and how it was measured, in a few notes."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inspector.lab.reports import Sample


def sample_notes(sample: Sample) -> Iterator[str]:
    """One line each: what the weights went through before, the text, the machine and the libraries."""
    if sample.quantized_before:
        yield (
            f"its weights were quantized once already: they come from a file in {sample.stored}, and fp32 is that file "
            "read back. A model as it was trained loses a little differently"
        )
    yield f"text: {'; '.join(sample.texts)}"
    threads = f", {sample.threads} thread{'s' * (sample.threads != 1)}" if sample.device == "cpu" else ""
    yield f"measured on {sample.date} on {sample.machine} ({sample.device}{threads})"
    yield ", ".join(f"{name} {version}" for name, version in sample.versions.items())


def sample_payload(sample: Sample) -> dict[str, Any]:
    """The keys of a sample in JSON."""
    texts = [{"name": name, "sha256": digest} for name, digest in sample.texts.items()]
    return {**asdict(sample), "texts": texts}
