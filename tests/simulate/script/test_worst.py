"""``--worst``: the longest samples come first, whatever has the loader; and what a run beside another one gives."""

from __future__ import annotations

import subprocess
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor

from inspector.simulate.script import child_process
from inspector.simulate.script.running import ROWS, _lengths, run

LOOPS = """
    import sys
    import torch
    from torch.utils.data import BatchSampler, DataLoader, IterableDataset, RandomSampler, SequentialSampler

    class Texts(torch.utils.data.Dataset):
        lengths = [3, 9, 1, 7, 5, 2, 8, 4, 6, 11]
        def __len__(self):
            return len(self.lengths)
        def __getitem__(self, index):
            torch.rand(1)  # looking must not draw
            return {"input_ids": [1] * self.lengths[index], "label": index}

    class Endless(IterableDataset):
        def __iter__(self):
            yield from ({"input_ids": [1] * n, "label": 0} for n in (1, 3, 2))

    class Groups(BatchSampler):
        def __iter__(self):
            yield from [[0, 0], [1, 2], [1, 1], [9]]
        def __len__(self):
            return 4

    def told(name, data, **options):
        loader = DataLoader(data, collate_fn=lambda rows: [len(row["input_ids"]) for row in rows], **options)
        print(name, *["/".join(map(str, batch)) for batch in loader])

    torch.manual_seed(1)
    told("PLAIN", Texts(), batch_size=4)
    told("SHUFFLED", Texts(), batch_size=4, shuffle=True, drop_last=True)
    told("WORKERS", Texts(), batch_size=3, num_workers=2)
    told("GROUPS", Texts(), batch_sampler=Groups(None, 2, False))
    told("AGAIN", Texts(), batch_size=2, sampler=[0, 0, 9, 9, 1, 1])
    told("STREAM", Endless(), batch_size=2)
    print("DRAWN", torch.rand(1).item() > 0)
    x = torch.zeros(1, device="cuda")
"""


def test_what_is_long_comes_first(dry):
    report, out, err = dry(LOOPS, worst=True)
    assert report.script_exit_code == 0, err
    assert out.splitlines() == [
        "PLAIN 11/9/8/7 6/5/4/3 2/1",
        "SHUFFLED 11/9/8/7 6/5/4/3",
        "WORKERS 11/9/8 7/6/5 4/3/2 1",
        # Each as its sampler has made it, by its longest as often as it has samples.
        "GROUPS 9/1 9/9 11 3/3",
        "AGAIN 11/11 9/9 3/3",
        "STREAM 1/3 2",
        "DRAWN True",
    ]
    assert "the longest samples come first (--worst): from 11 down, in 10 samples" in report.assumptions
    assert any("a stream of samples" in line for line in report.assumptions)


def test_rows_of_given_lengths_are_the_longest_of_them(tmp_path):
    path = tmp_path / "lengths.txt"
    path.write_text("\n".join(str(at) for at in range(1, 2 * ROWS + 1)))
    assert max(_lengths(str(path), worst=False)) == ROWS
    assert _lengths(str(path), worst=True)[:2] == (2 * ROWS, 2 * ROWS - 1)
    drawn = _lengths("lognormal:600,0.8,4096", worst=True)
    assert (len(drawn), drawn[0]) == (ROWS, 4096)


def test_two_at_once_are_as_one_after_another(tmp_path, forked, monkeypatch):
    texts = [
        """
        model = torch.nn.Linear(640, 640).cuda()
        opt = torch.optim.Adam(model.parameters())
        for n in range(1, 90):
            model(torch.ones(n, 640, device="cuda")).sum().backward()
            opt.step()
        """,
        """
        x = torch.ones(1000, 1000, device="cuda", requires_grad=True)
        for _ in range(200):
            (x @ x).sum().backward()
        """,
    ]
    paths = []
    for at, text in enumerate(texts):
        paths.append(tmp_path / f"{at}.py")
        file = f"open('out', 'a').write('{at}')\nassert open('out').read() == '{at}'\n"
        paths[-1].write_text("import torch\n" + textwrap.dedent(text) + file)
    cheap, plain = child_process.subprocess.Popen, subprocess.Popen

    def popen(*args, **kwargs):
        # One process forks one child at a time: the other thread's is started as a user's is.
        start = cheap if threading.current_thread() is threading.main_thread() else plain
        return start(*args, **kwargs)

    monkeypatch.setattr(child_process.subprocess, "Popen", popen)

    def figures(path):
        report = run(path, gpu="T4", quiet=True, keep_events=True)
        return report.error, report.steps, report.events

    alone = [figures(path) for path in paths]
    with ThreadPoolExecutor() as pool:
        other = pool.submit(figures, paths[0])
        assert figures(paths[1]) == alone[1]
    assert other.result() == alone[0]
    assert [each[:2] for each in alone] == [("", 89), ("", 0)]
