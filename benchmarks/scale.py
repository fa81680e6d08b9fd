"""How long the largest inputs take, each as a whole process with an empty cache.

`python benchmarks/scale.py` prints a table: a folder of 1,000 shards, with 20 tensors each and with 140 (as
many as Kimi K2 in FP8 has), Kimi K2 (10^12 parameters) from its bundled skeleton and built from its config, and every
bundled model at every scheme.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from inspector.sources.bundled import CONFIGS

KIMI = "moonshotai/Kimi-K2-Instruct"
SHARDS = 1000


def shards(folder: Path, tensors: int) -> Path:
    """A checkpoint in the layout of Kimi K2's experts; its weights take no room on the disk."""
    folder.mkdir()
    index = {}
    for number in range(SHARDS):
        file = f"model-{number + 1:05}-of-{SHARDS:05}.safetensors"
        names = [f"model.layers.{number // 16}.mlp.experts.{number % 16}.w{each}.weight" for each in range(tensors)]
        entries = {
            name: {"dtype": "BF16", "shape": [2048, 16], "data_offsets": [65536 * at, 65536 * (at + 1)]}
            for at, name in enumerate(names)
        }
        header = json.dumps(entries).encode()
        with (folder / file).open("wb") as stream:
            stream.write(struct.pack("<Q", len(header)) + header)
            stream.truncate(8 + len(header) + 65536 * tensors)
        index |= dict.fromkeys(names, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}), encoding="utf-8")
    (folder / "config.json").write_text((CONFIGS / "meta-llama--Llama-3.1-8B.json").read_text(encoding="utf-8"))
    return folder


def timed(words: list[str], cache: Path) -> tuple[float, float, int]:
    """Seconds, CPU seconds and bytes resident at the peak of one command."""
    started = time.perf_counter()
    environment = {**os.environ, "INSPECTOR_CACHE": str(cache)}
    process = subprocess.Popen([sys.executable, "-m", "inspector", *words], stdout=subprocess.DEVNULL, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) != 0:
        sys.exit(f"inspector {' '.join(words)} failed")
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return time.perf_counter() - started, usage.ru_utime + usage.ru_stime, peak


def main() -> None:
    """Time them one after another."""
    lines = Table("what", "seconds", "CPU seconds", "peak MB", "limit, seconds", title=f"{os.cpu_count()} CPUs")
    with tempfile.TemporaryDirectory() as made:
        place = Path(made)
        few, many = str(shards(place / "few", 20)), str(shards(place / "many", 140))
        config = str(CONFIGS / f"{KIMI.replace('/', '--')}.json")
        for number, (what, words, limit) in enumerate(
            (
                (f"{SHARDS:,} shards, 20,000 tensors", ["checkpoint", few, "--json"], 5),
                (f"{SHARDS:,} shards, 140,000 tensors", ["checkpoint", many, "--json"], 10),
                ("Kimi K2, bundled", ["layers", KIMI, "--json"], 5),
                ("Kimi K2, built from its config", ["layers", config, "--json"], 5),
                ("all models at all schemes", ["table", "--json"], 30),
            )
        ):
            seconds, cpu, peak = timed(words, place / f"cache-{number}")
            lines.add_row(what, f"{seconds:.1f}", f"{cpu:.1f}", f"{peak / 1e6:,.0f}", str(limit))
    Console().print(lines)


if __name__ == "__main__":
    main()
