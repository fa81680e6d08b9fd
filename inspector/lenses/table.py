"""Weight memory of many models at many schemes: one line each, computed in parallel."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from multiprocessing import Pool
from typing import TYPE_CHECKING, ClassVar

from inspector.reporting import TableReport
from inspector.sources.bundled import load_bundled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(frozen=True, slots=True)
class TableRow:
    """One model: its parameters and its true bytes under each scheme, in the table's order."""

    model: str
    parameters: int
    tensor_bytes: tuple[int, ...]
    footprint_bytes: tuple[int, ...]


@dataclass(frozen=True)
class ModelTable(TableReport):
    """Models by schemes. ``seconds`` is how long it took."""

    kind: ClassVar[str] = "table"

    schemes: tuple[str, ...]
    rows: tuple[TableRow, ...]
    seconds: float


def table_row(model_id: str, schemes: Sequence[str]) -> TableRow:
    """One bundled model under each scheme."""
    from inspector.lenses.weights import weights
    from inspector.precision import scheme_named

    skeleton = load_bundled(model_id)
    reports = [weights(skeleton, scheme_named(name)) for name in schemes]
    return TableRow(
        model_id,
        skeleton.num_parameters,
        tuple(report.tensor_bytes for report in reports),
        tuple(report.footprint_bytes for report in reports),
    )


def table(
    models: Sequence[str], schemes: Sequence[str], *, done: Callable[[str], None] = lambda _model: None
) -> ModelTable:
    """Every model under every scheme, on all cores. ``done`` is told each model that is finished.

    Raises InspectorError for a scheme that does not exist.
    """
    import time
    from functools import partial

    from inspector.precision import scheme_named, usual_scheme

    schemes = tuple(map(usual_scheme, schemes))
    # Before any process is started: an error in one of them would come late, and from another process.
    for name in schemes:
        scheme_named(name)
    started = time.monotonic()
    rows = []
    # Where processes are spawned, each imports all of this anew, which takes longer than a handful of rows.
    workers = min(os.cpu_count() or 1, max(1, len(models) // 8))
    if workers == 1:
        for model in models:
            rows.append(table_row(model, schemes))
            done(model)
    else:
        # Ctrl-C reaches every process. Workers are deaf to it, and this kind of pool ends them when its block is left:
        # an executor waits for them, for ever when one died with the queue's lock in its hand.
        with Pool(workers, signal.signal, (signal.SIGINT, signal.SIG_IGN)) as pool:
            # `imap` and not `imap_unordered`: rows stay in the order asked for. Four at a time: one by one, workers
            # would wait for the next; in large chunks, the last to end would keep all others waiting.
            for row in pool.imap(partial(table_row, schemes=tuple(schemes)), models, chunksize=4):
                rows.append(row)
                done(row.model)
    return ModelTable(tuple(schemes), tuple(rows), time.monotonic() - started)
