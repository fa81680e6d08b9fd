"""What ordinary scripts say of themselves is true on the simulated card, and what they take is what their sizes say."""

from __future__ import annotations

import re

from inspector.gpus import find_gpu


def test_what_it_says_of_itself_is_what_it_says_for_real(on_both):
    real, simulated, report = on_both("ordinary.py")
    assert report.script_exit_code == 0
    said = [[line for line in lines if line.startswith("SAYS")] for lines in (real, simulated)]
    assert len(said[0]) > 10
    assert said[1] == said[0]
    card = next(line for line in simulated if line.startswith("CARD")).split()
    gpu = find_gpu("T4")
    total, free = int(card[-3]), int(card[-2])
    assert (card[-4], card[-1]) == ("7.5", "False")
    assert total == gpu.usable_bytes
    assert free == total - gpu.context_bytes
    figures = {
        line.rpartition(" ")[0]: int(line.rpartition(" ")[2]) for line in simulated if line[:4] in {"PEAK", "NOW "}
    }

    weights = 4 * 256 * 256 * 4  # the head is tied
    assert figures["NOW loaded"] == weights
    assert figures["NOW trained"] - figures["NOW loaded"] == 2 * weights  # the two moments; the step is a host's
    assert figures["NOW let go"] == 0
    assert figures["PEAK second"] == figures["PEAK first"]
    assert figures["NOW away"] == figures["NOW trained"] - weights  # the optimizer's state stays on the card
    lengths = {int(re.search(r"\d+", name)[0]): peak for name, peak in figures.items() if "length" in name}
    assert [peak for _, peak in sorted(lengths.items())] == sorted(lengths.values())
    saved = next(size for path, size in report.files if path.endswith("state.pt"))
    assert saved > 3 * weights


def test_habits_take_what_they_take_for_real(on_both):
    """A few of those that `make scripts-trainers` runs: hooks that keep, checkpoints by hand, a loader's processes."""
    real, simulated, report = on_both("habits.py", ".", "hooks", "checkpoints", "workers")
    assert report.script_exit_code == 0
    says, pieces = [], []
    for lines in (real, simulated):
        says.append([line for line in lines if line.startswith("SAYS")])
        pieces.append({line.split()[1]: [*map(int, line.split()[2:])] for line in lines if line.startswith("PIECE")})
    assert says[0] == says[1]
    assert len(says[0]) == 3
    assert pieces[0]["hooks"] == pieces[1]["hooks"]
    # A CPU counts the random numbers' state that each checkpoint keeps, and the batches before they are moved.
    assert 0 <= pieces[0]["checkpoints"][0] - pieces[1]["checkpoints"][0] <= 5120
    assert 0 <= pieces[0]["workers"][0] - pieces[1]["workers"][0] <= 2 * (4 * 16 * 128 * 4 + 512)
    assert [each[1] for each in pieces[0].values()] == [each[1] for each in pieces[1].values()]
