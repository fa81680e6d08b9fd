"""Arguments of a trainer's config: those of transformers, of trl, of accelerate and of Lightning."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from inspector.simulate.script.advice.change import PER_TOKEN, SAVED, STATE, TRAINED, ScriptChange
from inspector.simulate.script.check.values import UNKNOWN
from inspector.simulate.script.overrides import Override, keyword

if TYPE_CHECKING:
    import ast
    from collections.abc import Iterator, Mapping

    from inspector.memory_kinds import MemoryKind
    from inspector.simulate.script.check.report import Place
    from inspector.simulate.script.check.values import Values

# Defaults of ``TrainingArguments`` in transformers 5.23, and of trl's configs in trl 1.16: a test reads them there.
BATCH, ACCUMULATE, LENGTH = 8, 1, 1024
_GENERATE = ("GRPOConfig", "RLOOConfig", "PPOConfig", "OnlineDPOConfig")
"""Of trl: their samples are as long as what is generated."""

OF_TRANSFORMERS = frozenset({"transformers.TrainingArguments", "transformers.Seq2SeqTrainingArguments"})


def of_config(call: ast.Call, meant: str, values: Values, place: Place) -> Iterator[ScriptChange]:
    """The changes that one call offers; none for a call of anything else."""
    if is_trainer_config(meant):
        given = {word.arg: word.value for word in call.keywords if word.arg}
        said = {name: values.of(node) for name, node in given.items()}
        # With `**options` in it, who knows what stands there: then nothing is put in twice.
        if len(given) == len(call.keywords):
            for row in trainer_changes(said, of_trl=meant.startswith("trl.")):
                if "max_length" in row.words and meant.endswith(_GENERATE):
                    continue
                edits = tuple(keyword(call, name, value, place.cell) for name, value in row.words.items())
                yield ScriptChange(row.told, row.cost, place, Override(edits), row.of, row.about)
    elif meant == "accelerate.Accelerator" and values.of(_word(call, "mixed_precision")) in {None, UNKNOWN, "no"}:
        if not any(word.arg is None for word in call.keywords):
            edit = keyword(call, "mixed_precision", "'bf16'", place.cell)
            yield ScriptChange(
                "mixed_precision='bf16'", "16-bit products", place, Override((edit,)), PER_TOKEN, "precision"
            )
    elif meant == "peft.LoraConfig":
        yield from _smaller_rank(call, values, place)


def is_trainer_config(meant: str) -> bool:
    """Whether a name is a config of a trainer of transformers or trl."""
    return meant in OF_TRANSFORMERS or (meant.startswith("trl.") and meant.endswith("Config") and "Model" not in meant)


class Row(NamedTuple):
    """A change of a config: the arguments that make it, each as it is written in Python."""

    words: dict[str, str]
    cost: str
    of: frozenset[MemoryKind]
    about: str

    @property
    def told(self) -> str:
        """As its author would write it."""
        return ", ".join(f"{name}={value}" for name, value in self.words.items())


def trainer_changes(said: Mapping[str, object], *, of_trl: bool) -> Iterator[Row]:
    """Changes of a config whose arguments are these."""
    # trl's configs checkpoint by default; transformers 5 calls it activation_checkpointing, and takes the old name.
    if not said.get("gradient_checkpointing", said.get("activation_checkpointing", of_trl)):
        yield Row({"gradient_checkpointing": "True"}, "about a third more time", SAVED, "checkpointing")
    yield from _batches(said)
    optimizer = said.get("optim", "adamw_torch_fused")
    if isinstance(optimizer, str) and "adam" in optimizer and "8bit" not in optimizer:
        yield Row({"optim": "'adamw_8bit'"}, "rounded optimizer state", STATE, "state")
        yield Row({"optim": "'paged_adamw_8bit'"}, "rounded state, moved when needed", STATE, "state")
    # trl's configs take bf16 where nothing is said, transformers' nothing.
    if not of_trl and not said.get("bf16") and not said.get("fp16"):
        yield Row({"bf16": "True"}, "16-bit products", PER_TOKEN, "precision")
    length = _number(said.get("max_length", LENGTH if of_trl else None))
    if of_trl and length is not None and length >= 256:
        yield Row({"max_length": str(length // 2)}, "shorter samples", PER_TOKEN, "length")


def _batches(said: Mapping[str, object]) -> Iterator[Row]:
    batch = _number(said.get("per_device_train_batch_size", BATCH))
    times = _number(said.get("gradient_accumulation_steps", ACCUMULATE))
    if batch is None or times is None:
        return
    # Half before one: it takes less time, and may be enough.
    for smaller in sorted({batch // 2, batch // 4, 1} - {0, batch}, reverse=True):
        more = str(-(-batch * times // smaller))
        words = {"per_device_train_batch_size": str(smaller), "gradient_accumulation_steps": more}
        yield Row(words, "some time", PER_TOKEN, "batch")


def _smaller_rank(call: ast.Call, values: Values, place: Place) -> Iterator[ScriptChange]:
    rank, alpha = _number(values.of(_word(call, "r"))), _number(values.of(_word(call, "lora_alpha")))
    # With an alpha that is not known, the adapters' scale would change too.
    if rank is None or rank <= 8 or (alpha is None and _word(call, "lora_alpha") is not None):
        return
    smaller = max(rank // 4, 8)
    edits = [keyword(call, "r", str(smaller), place.cell)]
    told = f"r={smaller}"
    if alpha is not None:
        # Alpha goes with the rank: the adapters' scale, alpha over rank, stays.
        scaled = max(alpha * smaller // rank, 1)
        edits.append(keyword(call, "lora_alpha", str(scaled), place.cell))
        told += f", lora_alpha={scaled}"
    yield ScriptChange(told, "smaller adapters", place, Override(tuple(edits)), TRAINED, "rank")


def _word(call: ast.Call, name: str) -> ast.expr | None:
    return next((word.value for word in call.keywords if word.arg == name), None)


def _number(value: object) -> int | None:
    if isinstance(value, str) and value.isdecimal():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
