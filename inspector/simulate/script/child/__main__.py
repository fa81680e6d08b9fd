"""``python -m inspector.simulate.script.child JOB``: run a script in the simulated world, and write its events."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import traceback
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inspector.errors import OUR_FAULT, InspectorError
from inspector.simulate.script.child.orphaned import end_with_parent
from inspector.simulate.script.job import Job, write_outcome
from inspector.simulate.script.overrides import edits_of

if TYPE_CHECKING:
    from inspector.simulate.script.child.world import World


def main(path: str) -> int:
    """Run the job, write what came of it, and return the exit code."""
    job = Job.read(Path(path))
    folder = Path(job.folder)
    conf = os.environ.get("PYTORCH_ALLOC_CONF") or os.environ.get("PYTORCH_CUDA_ALLOC_CONF", "")
    _settle(job)
    import torch  # noqa: F401 -- whole, before what looks for Triton

    from inspector.simulate.script.child.stubs import triton_package

    triton_package.stand_in(folder)
    if job.launch:
        try:
            job = _launched(job)
        except InspectorError as error:
            told = {"exit_code": error.exit_code, "error": str(error), "mistake": error.message, "hint": error.hint}
            write_outcome(folder, [], [], told)
            return error.exit_code
    from inspector.simulate.script.child import changed, program
    from inspector.simulate.script.child.errors import is_ours, show, users_mistake
    from inspector.simulate.script.child.installing import install
    from inspector.simulate.script.child.lines import Lines
    from inspector.simulate.script.child.steps import Enough
    from inspector.simulate.script.child.world import World

    own = [job.target, job.shown] if job.kind == "file" else []
    if job.kind == "notebook":
        from inspector.simulate.script.notebook import read_notebook

        notebook = read_notebook(job.shown or job.target, job.shown)
        own = [cell.filename for cell in notebook.cells]
    lines = Lines(program.folder_of(job), tuple(own))

    world = World(job, lines, conf)
    readable = job.kind in {"file", "notebook"}
    text = Path(job.target).read_text(encoding="utf-8", errors="replace") if readable else ""
    if job.kind == "notebook":
        for line in notebook.skipped:
            world.skip(f"cell {line.cell}, line {line.line}: {line.what}: {line.text}")
    install(world, text + " ".join(job.args))
    code, said, ours = 0, "", False
    mistake: InspectorError | None = None
    _tells_at_once(world, folder)
    changed.install(edits_of(job.edits))
    try:
        program.run(job, lines)
    except Enough:
        world.skip(world.steps.said.replace("training", "everything"))
    except SystemExit as error:
        code = _exit_code(error)
    except KeyboardInterrupt:
        code, said = 130, "interrupted"
    except InspectorError as error:
        code, said, mistake = error.exit_code, str(error), error
    except BaseException as error:  # noqa: BLE001 -- whatever a script raises ends it
        mistake = users_mistake(error)
        ours = mistake is None and is_ours(error)
        said = f"{type(error).__name__}: {error}"
        code = OUR_FAULT if ours else 1
        if ours:
            traceback.print_exception(error)
        elif mistake is not None:
            code = mistake.exit_code
        else:
            show(error)
    sys.stdout.flush()
    more = {"ours": ours, "alloc_conf": world.memories[0].conf}
    if mistake is not None:
        more |= {"mistake": mistake.message, "hint": mistake.hint}
    _tell(world, folder, code, said, more)
    return code


def _tells_at_once(world: World, folder: Path) -> None:
    """Write what came of it, and end, where a script goes on that was asked to end by what Ctrl-C raises."""
    own = os.getpid()

    def end(number: int, _frame: object) -> None:
        if os.getpid() != own:  # a process that the script has forked ends as it would
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        with contextlib.suppress(Exception):  # it may come in the middle of anything
            _tell(world, folder, 128 + number, "", {"alloc_conf": world.memories[0].conf})
        os._exit(128 + number)

    signal.signal(signal.SIGTERM, end)


def _launched(job: Job) -> Job:
    """As its launcher starts it: the environment becomes the rank's. Raises InspectorError as the launcher refuses."""
    from inspector.gpus import card_of_size, find_gpu
    from inspector.simulate.script.child.rank.launched import one_of, started_by

    card = card_of_size(job.card) if job.vram else find_gpu(job.card)
    me = one_of(started_by(job.launch, card, job.cards), job.rank)
    os.environ.clear()
    os.environ.update(me.environment)
    module = me.argv[0] == "-m"
    return replace(
        job,
        args=me.argv[1 + module :],
        cards=max(job.cards, me.on_a_machine),
        rank=me.rank,
        world_size=me.world_size,
        local_rank=me.local_rank,
        on_a_machine=me.on_a_machine,
    )


def _settle(job: Job) -> None:
    """The environment, before any library is imported."""
    scratch = Path(job.folder) / "scratch"
    scratch.mkdir(exist_ok=True)
    os.environ["TMPDIR"] = str(scratch)
    import tempfile

    tempfile.tempdir = None
    # One thread loads, so that tensors arrive in one order (transformers/core_model_loading.py).
    os.environ["HF_DEACTIVATE_ASYNC_LOAD"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = os.environ.get("TOKENIZERS_PARALLELISM", "false")
    if not job.write:
        _datasets_cache(scratch)
    if not job.network:
        os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "WANDB_MODE": "disabled",
                       "HF_HUB_DISABLE_TELEMETRY": "1", "COMET_MODE": "disabled"}  # fmt: skip


def _datasets_cache(scratch: Path) -> None:
    """A cache of the run's own, as its files are written by compiled code; what the user has in theirs is in it."""
    home = Path(os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "huggingface")
    theirs = Path(os.environ.get("HF_DATASETS_CACHE") or home / "datasets").expanduser()
    ours = scratch / "datasets"
    ours.mkdir(exist_ok=True)
    for each in theirs.iterdir() if theirs.is_dir() else ():
        (ours / each.name).symlink_to(each)
    os.environ["HF_DATASETS_CACHE"] = str(ours)


def _exit_code(error: SystemExit) -> int:
    if error.code is None:
        return 0
    if isinstance(error.code, int):
        return error.code
    print(error.code, file=sys.stderr)
    return 1


def _tell(world: World, folder: Path, code: int, said: str, more: dict[str, Any]) -> None:
    """Write the outcome. What the interpreter frees as it ends is no longer part of the run."""
    tracer = world.tracer
    world.stages.settle()
    tracer.stop()
    of_rank = {}
    if world.job.launch:
        from inspector.simulate.script.child.rank import told

        of_rank = told(world, folder)
    from inspector.simulate.events import Alloc
    from inspector.simulate.tracing.owners import written

    rows = []
    blocks = written(range(len(tracer.rows)), tracer.log, tracer.rows, tracer._labels, tracer._copies)
    for event, line in zip(blocks, tracer.lines, strict=True):
        assert isinstance(event, Alloc)
        where = tracer.stream_of(event.block), tracer.cards.get(event.block, 0)
        rows.append((event.nbytes, str(event.kind), event.module, event.source, line, *where))
    assumed = [f"{what} ({line})" if line else what for what, line in world.policies.used.items()]
    write_outcome(
        folder,
        rows,
        tracer.log[: tracer._stopped],
        {
            "exit_code": code,
            "error": said,
            **more,
            "paged_bytes": tracer.paged_bytes,
            "steps": world.stages.step,
            "assumed": assumed,
            "skipped": world.skipped,
            "notes": list(dict.fromkeys(tracer.notes)),
            "refused": [each for memory in world.memories for each in memory.refusals],
            "alike": world.alike(),
            "model": world.model,
            "files": sorted(world.files.items()),
            **of_rank,
            "card": world.job.local_rank,
            "full": world.job.oom,
            "launched": bool(world.job.launch),
            "rank": world.job.rank,
            "world_size": world.job.world_size,
            "on_a_machine": world.job.on_a_machine,
        },
    )


if __name__ == "__main__":
    try:
        end_with_parent(int(sys.argv[2]))
        found = main(sys.argv[1])
    except KeyboardInterrupt:  # before the script had begun
        found = 130
    except BaseException:  # noqa: BLE001 -- nothing of the script's comes this far
        traceback.print_exc()
        found = OUR_FAULT
    sys.stdout.flush()
    sys.stderr.flush()
    # Without the interpreter's own end: a world without data has nothing to take down in order.
    os._exit(found)
