"""`inspector replay`."""

from __future__ import annotations

from pathlib import Path

import click

from inspector.cli.options import answer, json_option


@click.command("replay")
@click.argument("snapshot", type=click.Path(path_type=Path))
@click.option("--device", type=click.IntRange(0), default=0, show_default=True, help="Number of the GPU.")
@click.option("--alloc-conf", metavar="CONF", help="Replay under other settings, as in PYTORCH_CUDA_ALLOC_CONF.")
@json_option
def command(snapshot: Path, device: int, alloc_conf: str | None, as_json: bool) -> None:
    """Replay a real memory snapshot and compare the reserved memory.

    SNAPSHOT is what torch.cuda.memory._dump_snapshot wrote after _record_memory_history(), or the same structure as
    JSON. Nothing in the file is executed: a pickle is read as plain data or not at all.

    \b
    Examples:
      inspector replay snapshot.pickle
      inspector replay snapshot.pickle --alloc-conf expandable_segments:True
      inspector replay snapshot.json --json
    """  # noqa: D301
    from inspector.simulate.allocator.settings import parse_settings
    from inspector.simulate.snapshot.allocator_check import replay_recording
    from inspector.simulate.snapshot.recording import read_recording

    # None is the recording's own settings; an empty CONF is a setting, PyTorch's defaults.
    settings = parse_settings(alloc_conf) if alloc_conf is not None else None
    report = replay_recording(read_recording(snapshot), device, settings)
    answer(report, as_json=as_json)
