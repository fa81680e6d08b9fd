"""Which tied tensors a checkpoint unties: those it stores with values of their own.

transformers ties what a class and its config say, and then, on loading, unties every pair of which the files hold both
with different values (modeling_utils.py, ``PreTrainedModel.tie_weights``). What the files hold travels inside the
config, so that all that is built, kept or copied from it has the same tensors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from transformers import PretrainedConfig, PreTrainedModel

KEY = "_stored_values"
TIE_DOUBT = "the config does not say whether the output head is tied"
"""How the note begins that files settle."""

_ASSUMED = "assumed"


def with_stored_values(config: Mapping[str, Any], values: Mapping[str, int]) -> dict[str, Any]:
    """The config of a model whose files were looked at.

    ``values`` has a number for every stored tensor of a tie that does not hold: the same one for equal values.
    """
    return {**config, KEY: dict(values)}


def says_own_head(config: Mapping[str, Any]) -> bool:
    """Whether a ``config.json`` says that the output head is not tied: itself, or else its language model's part."""
    said = config.get("tie_word_embeddings")
    parts = [part for part in config.values() if isinstance(part, Mapping)]
    return said is False or (said is None and any(part.get("tie_word_embeddings") is False for part in parts))


def assume_own_head(parsed: PretrainedConfig, config: Mapping[str, Any]) -> None:
    """Mark a config that says what its class does not hear: T5's ties whatever ``tie_word_embeddings`` says.

    Whoever wrote it had trained a head of its own; where there are files, they decide (`with_stored_values`).
    """
    if KEY not in config and says_own_head(config) and getattr(parsed, "tie_word_embeddings", False):
        setattr(parsed, KEY, _ASSUMED)


def are_known(config: PretrainedConfig) -> bool:
    """Whether files said what is tied."""
    return isinstance(getattr(config, KEY, None), dict)


def untie(model: PreTrainedModel) -> None:
    """Give a model on the meta device the tensors that its files store apart.

    Transformers' own list of ties is left as it is: quantizers and the warm-up of the allocator come before loading.
    """
    import torch

    for name in own_tensors(dict(model.all_tied_weights_keys), _values(model)):
        owner, _, leaf = name.rpartition(".")
        tied = model.get_parameter(name)
        setattr(model.get_submodule(owner), leaf, torch.nn.Parameter(torch.empty_like(tied), tied.requires_grad))


def tie_again(model: PreTrainedModel) -> None:
    """``model.tie_weights()`` before the files were read, without what they untie afterwards."""
    model.tie_weights()
    untie(model)


def forget_untied(model: PreTrainedModel) -> None:
    """Drop what is untied from transformers' own list, as ``from_pretrained`` does in the end."""
    for name in own_tensors(dict(model.all_tied_weights_keys), _values(model)):
        model.all_tied_weights_keys.pop(name)


def own_tensors(ties: Mapping[str, str], values: Mapping[str, int]) -> tuple[str, ...]:
    """Targets of ties that loading leaves with a tensor of their own, by the rules of ``tie_weights``.

    Args:
        ties: source by target, in transformers' order (``all_tied_weights_keys``).
        values: a number for every stored tensor; the same one for equal values.
    """
    held, pairs, own = dict(values), list(ties.items()), []
    for place, (target, source) in enumerate(pairs):
        if source in held and target in held:
            if held[source] != held[target]:
                own.append(target)
        elif target in held:
            # The one that is there gives its values to the other, and later targets are held against those.
            held[source] = held[target]
        else:
            others = (other for other, its in pairs[place + 1 :] if its == source and other in held)
            if (giver := source if source in held else next(others, None)) is not None:
                held[target] = held[giver]
    return tuple(own)


def _values(model: PreTrainedModel) -> dict[str, int]:
    said = getattr(model.config, KEY, None)
    if said == _ASSUMED:
        return _own_head(model)
    if not isinstance(said, Mapping):
        return {}
    # It came with a config, which may be a stranger's file: anything else says nothing.
    return {str(name): value for name, value in said.items() if isinstance(value, int)}


def _own_head(model: PreTrainedModel) -> dict[str, int]:
    """Values of the output head apart from those of all that it is tied to."""
    head = model.get_output_embeddings()
    names = {f"{path}.weight" for path, module in model.named_modules() if module is head and head is not None}
    pairs = [pair for pair in model.all_tied_weights_keys.items() if names & set(pair)]
    return {name: int(name in names) for pair in pairs for name in pair}


def notes_on_ties(model: PreTrainedModel) -> Iterator[str]:
    """What a page says of the tensors that were untied."""
    ties = dict(model.all_tied_weights_keys)
    # Not those that were tied again since, as resizing the vocabulary does.
    names = [
        name
        for name in own_tensors(ties, _values(model))
        if model.get_parameter(name) is not model.get_parameter(ties[name])
    ]
    if not names:
        return
    # At most three, so that the line stays a line.
    said = ", ".join(names[:3]) + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")
    if are_known(model.config):
        yield f"{said}: stored with values of its own, so transformers does not tie it, whatever its class says"
        return
    tied = sum(parameter.numel() for parameter in model.parameters())
    tied -= sum(model.get_parameter(name).numel() for name in names)
    yield (
        f"the config says that the head is not tied, which {type(model.config).__name__} does not hear: counted with a "
        f"head of its own, as files that hold both are loaded; tied, it has {tied:,} parameters"
    )
