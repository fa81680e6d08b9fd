"""One function for each parser of strangers' files and words. Anything it raises but InspectorError is a bug.

All that is fuzzed is imported here, at once: atheris sees the way through a module only if it was there at its import.
"""

from __future__ import annotations

import io
from contextlib import contextmanager
from dataclasses import replace
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from inspector.architecture.sanity import check_sizes
from inspector.architecture.ties import says_own_head
from inspector.checkpoint import Checkpoint, FileTensor
from inspector.checkpoint.against_skeleton import compare_with_skeleton
from inspector.checkpoint.equal_values import TensorReader, numbered
from inspector.checkpoint.gguf_header import kind_of
from inspector.config_json import is_mlx
from inspector.errors import InspectorError
from inspector.explain import ExplainReport
from inspector.explain.explaining import _explained, _model_in
from inspector.explain.log import decoded, places, plain
from inspector.explain.tokens import Batch
from inspector.files import json_object
from inspector.fit.checks.difference import RunsDifference, changed
from inspector.fit.checks.documents import documents_of
from inspector.fit.checks.runs import parse_runs
from inspector.fit.checks.updating import with_today
from inspector.gpus import card_of_size, find_gpu
from inspector.lenses.adapter_against_base import BaseAnswer
from inspector.lenses.adapter_against_config import against_config
from inspector.lenses.gguf_adapter import Base, findings_on, gguf_adapter_report
from inspector.lenses.kv_cache import cache_report
from inspector.lenses.layers import layers
from inspector.lenses.saved_adapter import _report
from inspector.lenses.weights import weights
from inspector.lora.options import parsed_pattern
from inspector.lora.saved_config import unfit
from inspector.measure.spec import MeasureSpec
from inspector.precision.as_published import published_scheme
from inspector.precision.published import published_in, said_of_loading
from inspector.precision.registry import scheme_named
from inspector.render.adapter import payload as adapter_page
from inspector.render.checkpoint import payload as checkpoint_page
from inspector.render.config import payload as config_page
from inspector.render.diff_runs import payload as diff_page
from inspector.render.explain import payload as explain_page
from inspector.render.layers import payload
from inspector.simulate.allocator.settings import parse_settings
from inspector.simulate.setup.configured import put_together
from inspector.simulate.setup.finetuning import resolve_setup
from inspector.simulate.setup.from_config import settings_of
from inspector.simulate.setup.readers.config_file import parse_config
from inspector.simulate.snapshot.allocator_check import replay_recording
from inspector.simulate.snapshot.recording import parse_recording
from inspector.skeleton.json_form import loads
from inspector.sources.adapter_files import AdapterFiles
from inspector.sources.bundled import find, load_bundled, unknown_model
from inspector.sources.folder import assemble, weight_map
from inspector.sources.gguf import merged, parse_gguf
from inspector.sources.gguf_config import config_of
from inspector.sources.hub import HubModel, listing
from inspector.sources.loaded_files import left_alone, loaded_files, unread_error
from inspector.sources.safetensors import PREFIX, header_length, parse_header
from inspector.sources.unknown_architecture import bare_skeleton

if TYPE_CHECKING:
    from collections.abc import Iterator

LORA = tuple(
    FileTensor(f"base_model.model.layers.0.q_proj.lora_{part}.weight", shape, "float32", 128)
    for part, shape in (("A", (4, 8)), ("B", (8, 4)))
)
_WHOLE = load_bundled("meta-llama/Llama-3.2-1B")
FACTS = _WHOLE.facts
ONE_LAYER = replace(
    _WHOLE,
    modules=tuple(module for module in _WHOLE.modules if module.layer in {None, "model.layers.0"}),
    tensors=tuple(tensor for tensor in _WHOLE.tensors if ".layers." not in tensor.name or ".layers.0." in tensor.name),
)
"""Once: to read the bundled skeleton takes ten times as long as all that a config is asked; its layers are alike."""


GPT2 = load_bundled("openai-community/gpt2")


SOME_RUN = documents_of({"format": "inspector.script", "gpu": "T4", "lines_at_peak": {"f:1": 1, "f:2": 2}}, "f")[""]


def text(data: bytes) -> str:
    """What a file's bytes are read as."""
    return data.decode("utf-8", "replace")


def safetensors(data: bytes) -> None:
    """A whole file: length, header, data; then the skeleton that its names and shapes make, shown as a page."""
    length = header_length(data[:PREFIX], len(data), "f")
    tensors = parse_header(data[PREFIX : PREFIX + length], len(data), "f")
    skeleton = bare_skeleton(assemble("f", ["f"], [(len(data), tensors)], {}, {}), "f")
    payload(layers(skeleton))
    # Every two neighbours of one shape, as if they were tied.
    offsets = dict(
        zip(tensors, accumulate((tensor.nbytes for tensor in tensors), initial=PREFIX + length), strict=False)
    )
    reader = TensorReader(lambda tensor, start, size: data[offsets[tensor] + start :][:size])
    for one, other in pairwise(tensors):
        if one.shape == other.shape:
            numbered((one, other), reader, "bfloat16")


def gguf(data: bytes) -> None:
    """A whole file: what it holds, its tensors beside what its header announces, and the config its metadata makes."""
    header = parse_gguf(io.BytesIO(data), len(data), "f")
    stored = merged("f", ["f.gguf"], [header], len(data))
    report = compare_with_skeleton(stored, bare_skeleton(stored, "f"))
    checkpoint_page(report)
    if kind_of(header.metadata, header.tensors) == "adapter":
        # As if its base had just its own tensors.
        own = {tensor.name.rpartition(".")[0]: (tensor.shape, tensor.nbytes) for tensor in header.tensors}
        tuple(findings_on(stored, Base("f", "llama", own, 1)))
        adapter_page(gguf_adapter_report(stored, None))
    config, _ = config_of(header.metadata, header.tensors)
    check_sizes(config)


def files(data: bytes) -> None:
    """Two lists of a model's files: the index of a sharded checkpoint, and what the hub answers; which are loaded."""
    with refused_in_one_line():
        weight_map(json_object(text(data), "f"), "f")
    commit, names = listing(data, "a/b")
    taken = loaded_files(names, json_object(text(data), "f"))
    left_alone(names, taken.files)
    if taken.unread:
        raise unread_error(taken.unread)
    HubModel("a/b", "f", "a/b", commit, names)._refuse_what_is_there(loaded_files(names, None).unread)


def config(data: bytes) -> None:
    """A ``config.json``, up to the point where torch would be asked, and how it says that its weights are stored."""
    found = json_object(text(data), "f")
    for read in (check_sizes, is_mlx, says_own_head, _stored):
        with refused_in_one_line():
            read(found)
    with refused_in_one_line():
        cache_report("f", FACTS, found)


def _stored(found: dict[str, object]) -> None:
    """What a ``quantization_config`` says: in words, and as bytes of a model."""
    if (stored := published_in(found)) is None:
        return
    said_of_loading(stored, "bfloat16")
    str(stored.title)
    stored.names_layers  # noqa: B018 -- a property that may fail
    stored.leaves("model.layers.0.self_attn.q_proj")
    if (scheme := published_scheme(found, ONE_LAYER)) is not None:
        weights(ONE_LAYER, scheme)


def skeleton(data: bytes) -> None:
    """A skeleton from the cache."""
    loads(text(data))


def snapshot(data: bytes) -> None:
    """A memory snapshot, as JSON or as a pickle of plain data, replayed."""
    replay_recording(parse_recording(data, "f"))


def saved(data: bytes) -> None:
    """What else people pass around as JSON: an adapter's config, a record of a measurement."""
    found = json_object(text(data), "f")
    files = AdapterFiles("f", found, Checkpoint("f", "safetensors", LORA, ("f",), 0))
    alone, reason = against_config(files), unfit(found)
    _report(files, BaseAnswer("", not_compared=reason or "no base"), alone)
    MeasureSpec.from_dict(found)


def words(data: bytes) -> None:
    """What is typed: schemes, cards, sizes, allocator settings, rank patterns, names of models."""
    word = text(data)
    for parse in (scheme_named, find_gpu, card_of_size, parse_settings, find):
        with refused_in_one_line():
            parse(word)
    with refused_in_one_line():
        parsed_pattern([word])
    raise unknown_model(word)


def message(data: bytes) -> None:
    """A log with out-of-memory errors in it, as bytes of any encoding, explained and shown as a page."""
    said = plain(decoded(data))
    found, where = places(said)
    _model_in(said)
    errors = tuple(_explained(place, GPT2, Batch(2, 512), guessed=False) for place in where)
    explain_page(ExplainReport("f", found, errors))


def runs(data: bytes) -> None:
    """A repository's file of named runs, and today's figures written into it: nothing else of it changes."""
    said = text(data)
    found = parse_runs(said, Path("inspector.toml"))
    with refused_in_one_line():
        made = with_today(found, {run.name: {"peak": "1.0 MiB", 'a "card"': "fits"} for run in found.runs})
        again = parse_runs(made, Path("inspector.toml"))
        kept = [replace(run, today={}, at="") for run in again.runs]
        assert kept == [replace(run, today={}, at="") for run in found.runs]


def documents(data: bytes) -> None:
    """The JSON of a run or of a check, compared with another and with itself."""
    found = documents_of(json_object(text(data), "f"), "f")
    for name, each in found.items():
        diff_page(RunsDifference("f", "f", (changed(name, SOME_RUN, each), changed(name, each, each)), (), ()))


def trainer(data: bytes) -> None:
    """A trainer's configuration file, resolved, shown as a page, and taken for the settings of a dry run."""
    report = put_together([parse_config(text(data), Path("f"))], gpus=8)
    config_page(report)
    list(report.resolved)
    if settings := settings_of(report)[0]:
        resolve_setup(from_files=settings)


TARGETS = {
    "safetensors": safetensors, "gguf": gguf, "files": files, "config": config, "skeleton": skeleton,
    "snapshot": snapshot, "saved": saved, "words": words, "message": message,
    "trainer": trainer,
    "runs": runs,
    "documents": documents,
}  # fmt: skip


@contextmanager
def refused_in_one_line() -> Iterator[None]:
    """What is refused is fine, in one line."""
    try:
        yield
    except InspectorError as error:
        if "\n" in error.message + error.hint:
            raise AssertionError(f"more than one line: {error.message[:2000]!r}") from error


def run(target: str, data: bytes) -> None:
    """Feed one input to a target."""
    with refused_in_one_line():
        TARGETS[target](data)
