"""The caching allocator again, as plainly as it can be said: one list of pieces, searched from end to end."""

from __future__ import annotations

from dataclasses import dataclass

MiB = 2**20


@dataclass
class Piece:
    segment: int
    small: bool
    size: int
    owner: object = None


class SlowModel:
    """Default settings. Pieces of a segment stay next to each other in the list; segments are numbered by age."""

    def __init__(self, capacity=None):
        self.pieces: list[Piece] = []
        self.segments = 0
        self.capacity = capacity

    @property
    def allocated(self):
        return sum(piece.size for piece in self.pieces if piece.owner is not None)

    @property
    def reserved(self):
        return sum(piece.size for piece in self.pieces)

    def malloc(self, owner, nbytes):
        if nbytes == 0:
            return True
        size = (nbytes + 511) // 512 * 512
        small = size <= MiB
        fitting = [i for i, p in enumerate(self.pieces) if p.owner is None and p.small == small and p.size >= size]
        if not fitting:
            segment = 2 * MiB if small else 20 * MiB if size < 10 * MiB else (size + 2 * MiB - 1) // (2 * MiB) * 2 * MiB
            if self.capacity is not None and self.reserved + segment > self.capacity:
                self.empty_cache()
                if self.reserved + segment > self.capacity:
                    return False
            self.pieces.append(Piece(self.segments, small, segment))
            self.segments += 1
            fitting = [len(self.pieces) - 1]
        best = min(fitting, key=lambda i: (self.pieces[i].size, i))
        piece = self.pieces[best]
        rest = piece.size - size
        if rest >= 512 if small else rest > MiB:
            self.pieces.insert(best + 1, Piece(piece.segment, small, rest))
            piece.size = size
        piece.owner = owner
        return True

    def free(self, owner):
        for piece in self.pieces:
            if piece.owner == owner:
                piece.owner = None
        merged: list[Piece] = []
        for piece in self.pieces:
            last = merged[-1] if merged else None
            if last and last.owner is None and piece.owner is None and last.segment == piece.segment:
                last.size += piece.size
            else:
                merged.append(piece)
        self.pieces = merged

    def empty_cache(self):
        busy = {piece.segment for piece in self.pieces if piece.owner is not None}
        self.pieces = [piece for piece in self.pieces if piece.segment in busy]
