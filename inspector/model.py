"""One model and every lens on it: what `inspector.load` returns."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Unpack

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from inspector.fit.at_least import AtLeastReport
    from inspector.fit.plan import FitPlan
    from inspector.fit.serving_table import ServingTable
    from inspector.fit.table import FitTable
    from inspector.fit.ways_table import WaysTable
    from inspector.lenses.layers import LayersReport
    from inspector.lenses.memory import MemoryReport
    from inspector.lenses.weights import Grouping
    from inspector.lora import LoraReport, LoraSpec
    from inspector.measure import Measurement
    from inspector.measure.options import MeasureOptions
    from inspector.serving.report import ServingReport
    from inspector.simulate.finetuning import StepReport
    from inspector.simulate.generation import GenerateReport
    from inspector.simulate.long_run.running import LongRunReport
    from inspector.simulate.setup.options import FinetuneOptions, FitOptions, GenerateOptions
    from inspector.simulate.several_cards import SeveralCardsReport
    from inspector.simulate.split_generation import SplitReport
    from inspector.skeleton import Skeleton
    from inspector.skeleton.vocabulary import Vocabulary


@dataclass(frozen=True)
class Model:
    """A model's skeleton with the lenses as methods, in the words of the command line.

    >>> inspector.load("llama-3.1-8b").memory(bits=4).footprint_bytes
    5591540224
    """

    skeleton: Skeleton
    reference: str = ""  # a dry run builds the model itself, which a skeleton is not enough for
    trust_remote_code: bool = False
    vocabulary: Vocabulary | None = None

    @contextlib.contextmanager
    def _as_opened(self) -> Iterator[None]:
        """Its config is read again as it was when it was opened: with the same trust, and the same vocabulary."""
        from inspector.skeleton.vocabulary import resizing
        from inspector.trust import trusting

        with trusting(self.trust_remote_code), resizing(self.vocabulary):
            yield

    @property
    def num_parameters(self) -> int:
        """Logical parameters, tied ones counted once."""
        return self.skeleton.num_parameters

    @property
    def num_active_parameters(self) -> int:
        """Parameters one token uses."""
        return self.skeleton.num_active_parameters

    def layers(self, *, expand: bool = False, depth: int | None = None, pattern: str | None = None) -> LayersReport:
        """The module listing; see `inspector.lenses.layers.layers`."""
        from inspector.lenses.layers import layers

        return layers(self.skeleton, expand=expand, depth=depth, pattern=pattern)

    def memory(
        self,
        *,
        bits: int | None = None,
        scheme: str | Sequence[str] = (),
        block_size: int | None = None,
        by: Grouping | None = None,
        gpu: str | None = None,
    ) -> MemoryReport:
        """Weight memory at one precision, several, or all; see `inspector.lenses.memory.memory`.

        With ``gpu``, a card of any maker by its name, also what that has left.
        """
        from inspector.gpus import find_card
        from inspector.lenses.memory import memory, usual_grouping
        from inspector.lenses.schemes_of import schemes_of
        from inspector.precision import chosen_schemes
        from inspector.sources.resolve import locate

        names = (scheme,) if isinstance(scheme, str) else tuple(scheme)  # a string is a sequence too, of letters
        if self.reference:
            with self._as_opened():
                skeleton, schemes = schemes_of(locate(self.reference), names, bits=bits, block_size=block_size)
        else:
            skeleton, schemes = self.skeleton, chosen_schemes(names, bits=bits, block_size=block_size)
        card = find_card(gpu) if gpu is not None else None
        return memory(skeleton, schemes, by=by or usual_grouping(skeleton), card=card)

    def lora(
        self,
        *,
        r: int | Sequence[int] = (),
        target_modules: str | Sequence[str] = (),
        target_parameters: Sequence[str] = (),
        spec: LoraSpec | None = None,
    ) -> LoraReport:
        """LoRA adapters for target sets and ranks.

        ``target_modules`` is one set's name or regular expression, or a list of module names as PEFT takes it; every
        set the model has when left out. ``spec`` holds the rest of the config.
        """
        from inspector.lora import DEFAULT_RANKS, lora
        from inspector.lora.options import chosen_sets

        ranks = (r,) if isinstance(r, int) else tuple(r)
        targets = (
            (target_modules,)
            if isinstance(target_modules, str)
            else ((",".join(target_modules),) if target_modules else ())
        )
        sets = chosen_sets(self.skeleton, [target for target in targets if target], target_parameters)
        return lora(self.skeleton, ranks or DEFAULT_RANKS, sets, spec)

    def finetune(self, **options: Unpack[FinetuneOptions]) -> StepReport | SeveralCardsReport | LongRunReport:
        """Dry-run a fine-tuning step; options as `inspector simulate finetune` takes them. Imports torch.

        With ``gpus`` and ``parallel``, or a ``config`` that shares the training: on several cards, rank by rank.
        With ``lengths``: thousands of steps whose batches differ in length, and where the run would stop.
        """
        from inspector.fit.ways import finetune_anywhere

        with self._as_opened():
            return finetune_anywhere(self.reference, **options)

    def generate(self, **options: Unpack[GenerateOptions]) -> GenerateReport | SplitReport | AtLeastReport:
        """Dry-run a generation; options as `inspector simulate generate` takes them. Imports torch.

        With ``gpus``, ``device_map`` or ``max_memory`` the model is spread over cards, and each card is reported; with
        ``parallel`` (``tp:2``) every layer is, and each rank is.
        """
        from inspector.fit.longest_prompt import generate_with_longest_prompt

        options.setdefault("solve", False)
        with self._as_opened():
            return generate_with_longest_prompt(self.reference, **options)

    def fit(self, **options: Unpack[FitOptions]) -> FitPlan | FitTable | WaysTable | ServingTable | AtLeastReport:
        """Say which way of training fits which card; options as `inspector fit` takes them. Imports torch.

        For one card what to change where it does not fit, for several a table; with ``gpus`` ways to share among them;
        with ``serving`` the engines and cards that hold so many ``users``.
        """
        from inspector.fit.on_cards import fit_or_serve

        with self._as_opened():
            return fit_or_serve(self.reference, **options)

    def serving(
        self, *, engine: str = "vllm", gpu: str = "", vram: str = "", engine_version: str = "",
        words: Sequence[str] = (), **options: object,
    ) -> ServingReport:  # fmt: skip
        """Say whether an inference engine starts with it, and what its cache holds; see `inspector.serve`."""
        from inspector.serving.answering import serve

        with self._as_opened():
            return serve(
                self.reference, engine=engine, gpu=gpu, vram=vram, engine_version=engine_version, words=words, **options
            )

    def measure(self, **options: Unpack[MeasureOptions]) -> Measurement:
        """Build the model for real and weigh it; options as `inspector measure` takes them."""
        from inspector.measure import measure
        from inspector.measure.options import spec_from

        with self._as_opened():
            return measure(spec_from(self.reference, options))

    def _repr_html_(self) -> str:
        return self.layers()._repr_html_()


def load(
    reference: str,
    *,
    trust_remote_code: bool = False,
    resize_vocab: int | None = None,
    pad_to_multiple_of: int | None = None,
) -> Model:
    """Open a model by what a user would type.

    Args:
        reference: a bundled id or a unique ending of one; a folder with a ``config.json``, such a file, safetensors
            or GGUF files; or a hub id.
        trust_remote_code: run the Python code that the model brings along, with your rights. Otherwise none of it runs.
        resize_vocab: rows of embedding and head, as ``model.resize_token_embeddings(resize_vocab)`` makes them.
        pad_to_multiple_of: its second argument: the rows are rounded up to a multiple.

    Raises:
        InspectorError: when nothing, or more than one thing, is meant, or the config cannot be built.
    """
    from inspector.skeleton.vocabulary import Vocabulary, resizing
    from inspector.sources.resolve import resolve
    from inspector.trust import trusting

    vocabulary = Vocabulary.of(resize_vocab, pad_to_multiple_of)
    with trusting(trust_remote_code), resizing(vocabulary):
        return Model(resolve(reference), reference, trust_remote_code, vocabulary)
