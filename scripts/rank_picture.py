"""Make the picture that slide 5 rebuilds from pieces: ``python scripts/rank_picture.py``. Needs numpy."""

from __future__ import annotations

import json

import numpy as np

from inspector.files import write_text
from inspector.lesson.rank_picture import PICTURE, picture

PIXELS = """
................
..#.#...........
..###...........
.####...........
.##.#...........
.####...........
...##...........
...##........#..
...##........##.
...###########..
...############.
....###########.
....##########..
....##.#..##.#..
....##.#..##.#..
....##.#..##.#..
"""

if __name__ == "__main__":
    rows = [[int(pixel == "#") for pixel in line] for line in PIXELS.split()]
    left, sizes, right = np.linalg.svd(np.array(rows, dtype=float))
    # A piece is a column times a row; which of the two has the size in it is all one.
    pieces = [
        {"column": np.round(left[:, n] * sizes[n], 6).tolist(), "row": np.round(right[n], 6).tolist()}
        for n in range(len(rows))
    ]
    write_text(PICTURE, json.dumps({"pixels": rows, "pieces": pieces}, separators=(",", ":")) + "\n")
    print(PICTURE, len(picture().pieces))
