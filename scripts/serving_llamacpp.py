"""Ask llama.cpp itself about a model of every architecture that is bundled, and keep what it answers."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

from inspector.errors import InspectorError
from inspector.serving.llamacpp.asked import ask
from inspector.serving.llamacpp.settings import LlamaCppSettings
from inspector.sources.bundled import load_bundled, model_ids
from inspector.sources.resolve import locate

PLACE = Path(__file__).parent.parent / "inspector" / "data" / "serving" / "llamacpp_asked.json"
SETTINGS: dict[str, dict[str, Any]] = {
    "8192": {"ctx_size": 8192},
    "two slots of 16384, a micro-batch of 1024": {"ctx_size": 16384, "parallel": 2, "ubatch_size": 1024},
    "4096 without flash attention": {"ctx_size": 4096, "flash_attn": "off"},
}


def models() -> list[str]:
    """The smallest bundled model of each type."""
    found: dict[str, tuple[int, str]] = {}
    for name in model_ids():
        skeleton = load_bundled(name)
        kind = skeleton.facts.model_type
        found[kind] = min(found.get(kind, (1 << 62, "")), (skeleton.num_parameters, name))
    return sorted(name for _, name in found.values())


def main() -> None:
    """Ask about each, say what it does not price, and write the file."""
    answers: list[dict[str, Any]] = []
    refused: dict[str, str] = {}
    version = ""
    for name in models():
        source = locate(name)
        for label, options in SETTINGS.items():
            settings = LlamaCppSettings(**options)
            try:
                found = ask(source.skeleton, source.runnable, "f16", settings, options["ctx_size"])
            except InspectorError as error:
                refused[name] = error.message
                break
            version = found.version
            answers.append({
                "model": name, "settings": label, **options, "model_mib": found.model_mib,
                "context_mib": found.context_mib, "compute_mib": found.compute_mib,
            })  # fmt: skip
            print(answers[-1], flush=True)
    about = f"llama.cpp of xllamacpp {version}, CPU back end, headers in f16, asked {dt.date.today()}"  # noqa: DTZ011
    PLACE.write_text(
        json.dumps({"about": about, "answers": answers, "refused": refused}, indent=1) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
