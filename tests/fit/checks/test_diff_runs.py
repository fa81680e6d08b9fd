"""What a commit cost: by kind, by line, with what changed; lines that only moved are the same."""

import json

import pytest

import inspector
from inspector.cli.main import run
from inspector.errors import InspectorError
from inspector.fit.checks.moved_lines import paired

BEFORE = {
    "format": "inspector.script", "version": 1, "script": "train.py", "model": "", "gpu": {"name": "T4"},
    "verdict": "fits", "peak_allocated_bytes": 700, "peak_reserved_bytes": 1000, "process_bytes": 1100, "error": "",
    "steady_allocated_bytes": 500, "paged_bytes": 0, "alive_at_peak": {"base weights": 500, "temporaries": 200},
    "lines_at_peak": {"train.py:2": 500, "train.py:6": 150, "(library)": 50}, "modules_at_peak": {"(model)": 700},
    "versions": {"torch": "2.12.0", "peft": "0.21.2"}, "world_size": 1,
}  # fmt: skip
AFTER = BEFORE | {
    "peak_allocated_bytes": 900, "peak_reserved_bytes": 1000,
    "alive_at_peak": {"base weights": 500, "activations": 400},
    "lines_at_peak": {"train.py:5": 500, "train.py:9": 300, "train.py:12": 50, "(library)": 50},
    "modules_at_peak": {"(model)": 900}, "versions": {"torch": "2.13.0", "peft": "0.21.2"}, "gpu": {"name": "L4"},
}  # fmt: skip


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, document in (("old.json", BEFORE), ("new.json", AFTER)):
        (tmp_path / name).write_text(json.dumps(document))
    return tmp_path


def test_a_script_before_and_after(files):
    (found,) = inspector.diff_runs("old.json", "new.json").runs
    assert {each.name: each.more for each in found.kinds} == {"activations": 400, "temporaries": -200}
    assert sum(each.more for each in found.kinds) == sum(each.more for each in found.lines) == 200
    # Three lines came above them: 2 is 5, so 6 would be 9.
    assert [(each.was, each.name, each.more) for each in found.lines] == [
        ("train.py:6", "train.py:9", 150), ("train.py:12", "train.py:12", 50),
    ]  # fmt: skip
    assert [(each.name, each.before, each.after) for each in found.settings] == [("card", "T4", "L4")]
    assert [(each.name, each.before, each.after) for each in found.versions] == [("torch", "2.12.0", "2.13.0")]
    assert inspector.diff_runs("old.json", "old.json").same


def test_runs_of_a_check_are_paired_by_their_names(files):
    def checked(**runs):
        return {"format": "inspector.check", "runs": [{"name": name, "report": each} for name, each in runs.items()]}

    (files / "a.json").write_text(json.dumps(checked(one=BEFORE, gone=BEFORE)))
    (files / "b.json").write_text(json.dumps(checked(new=BEFORE, one=AFTER)))
    found = inspector.diff_runs("a.json", "b.json")
    assert ([each.name for each in found.runs], found.gone, found.new) == (["one"], ("gone",), ("new",))
    assert not found.same


@pytest.mark.parametrize(
    ("before", "after", "pairs"),
    [
        ({"a:1": 5, "a:2": 6}, {"a:1": 5, "a:2": 6}, [("a:1", "a:1"), ("a:2", "a:2")]),
        # A line that is new, one that is gone, and one of another file with the same bytes.
        ({"a:1": 5}, {"b:1": 5}, [("a:1", ""), ("", "b:1")]),
        ({"a:1": 5, "a:3": 7, "a:9": 1}, {"a:2": 5, "a:4": 8, "a:10": 1},
         [("a:1", "a:2"), ("a:3", "a:4"), ("a:9", "a:10")]),
        ({"C:/x.py:4": 5, "lib": 1}, {"C:/x.py:4": 6, "lib": 2}, [("C:/x.py:4", "C:/x.py:4"), ("lib", "lib")]),
        ({}, {}, []),
    ],
)  # fmt: skip
def test_lines_that_moved(before, after, pairs):
    assert paired(before, after) == pairs


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is not JSON"),
        ("[]", "holds a JSON list"),
        ("{}", "is no JSON of Inspector's"),
        ('{"format": "inspector.memory"}', "is the JSON of 'inspector.memory'"),
        ('{"format": "inspector.script", "alive_at_peak": {"x": "many"}}', "no whole number of bytes"),
        ('{"format": "inspector.script", "alive_at_peak": {"x": 1%s}}' % ("0" * 400), "no whole number of bytes"),
        ('{"format": ["inspector.script"]}', "is no JSON of Inspector's"),
        ('{"format": "inspector.several_cards", "ranks": []}', "it has no ranks"),
        ('{"format": "inspector.several_cards", "ranks": 7}', "it has no ranks"),
        ('{"format": "inspector.check", "runs": 3}', "it has no runs"),
        ('{"format": "inspector.check", "runs": [{"name": "a"}]}', "run 1 has no report"),
        ('{"format": "inspector.check", "runs": []}', "one is the JSON of a check"),
        ('{"format": "inspector.generate", "gpu": "T4"}', "compare two of a kind"),
    ],
)
def test_files_that_are_none(content, said, files):
    (files / "odd.json").write_text(content)
    with pytest.raises(InspectorError) as caught:
        inspector.diff_runs("odd.json", "new.json")
    assert said in str(caught.value)
    assert run(["diff-runs", "odd.json", "new.json"]) == 2
