"""The schemes of one model: those of any, and the two that its own files and its own config say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.errors import InspectorError
from inspector.precision import chosen_schemes
from inspector.precision.as_published import NAME as PUBLISHED
from inspector.precision.as_published import published_scheme
from inspector.precision.stored import NAME as STORED
from inspector.precision.stored import stored
from inspector.skeleton.vocabulary import refuse_resizing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inspector.precision import Scheme
    from inspector.skeleton import Skeleton
    from inspector.sources.source import Source


def schemes_of(
    source: Source, names: Sequence[str] = (), *, bits: int | None = None, block_size: int | None = None
) -> tuple[Skeleton, tuple[Scheme, ...]]:
    """A source's skeleton, and the schemes that a user asks for, the checkpoint's own first.

    ``stored`` is what its files hold, ``published`` what its quantization_config says, which comes unasked where
    nothing is asked for. Raises InspectorError as `chosen_schemes`, and where there are no such files or config.
    """
    # These two are not in the registry of schemes: their names are not enough, they need the files or the config.
    others = tuple(name for name in names if name not in {STORED, PUBLISHED})
    as_stored, as_published = STORED in names, PUBLISHED in names
    # What files hold is true whatever the config says of them.
    skeleton = source.skeleton_of_files if set(names) == {STORED} else source.skeleton
    schemes: tuple[Scheme, ...] = ()
    if others or not (as_stored or as_published):
        schemes = chosen_schemes(others, bits=bits, block_size=block_size)
    if as_published or not (names or bits or block_size):
        schemes = (*_published(source, needed=as_published), *schemes)
    if as_stored:
        refuse_resizing("what files store")
        if source.checkpoint is None and source.unread:
            from inspector.sources.loaded_files import unread_error

            raise unread_error(source.unread, source.readable)
        schemes = (stored(source.checkpoint, skeleton), *schemes)
    return skeleton, schemes


def _published(source: Source, *, needed: bool) -> tuple[Scheme, ...]:
    """The format that the model's config names. Raises InspectorError where it is needed and there is none."""
    found = published_scheme(source.config, source.skeleton)
    if found is None and needed:
        raise InspectorError(
            f"the config of {source.name} names no quantization whose layout is known here",
            hint="--scheme stored weighs its files",
        )
    return () if found is None else (found,)
