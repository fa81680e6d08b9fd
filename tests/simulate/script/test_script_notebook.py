"""A notebook as Python: the lines at their places, what is no Python skipped and listed, broken files in one line."""

from __future__ import annotations

import ast
import importlib.util
import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.errors import InspectorError
from inspector.simulate.script.notebook import read_notebook
from inspector.simulate.script.notebook.names import hosted_modules, notebook_names
from inspector.simulate.script.notebook.to_python import python_of

nbformat = pytest.importorskip("nbformat")
TransformerManager = pytest.importorskip("IPython.core.inputtransformer2").TransformerManager


def write(path, *cells, version=4, **metadata):
    """A notebook by nbformat's own writer, with outputs in it."""
    if version == 4:
        made = [nbformat.v4.new_markdown_cell("# !title"), *(nbformat.v4.new_code_cell(cell) for cell in cells)]
        made[-1]["outputs"] = [nbformat.v4.new_output("stream", text="!no line of it\n")]
        notebook = nbformat.v4.new_notebook(cells=made, metadata=metadata)
    else:
        made = [nbformat.v3.new_text_cell("markdown", "# !title"), *map(nbformat.v3.new_code_cell, cells)]
        notebook = nbformat.v3.new_notebook(worksheets=[nbformat.v3.new_worksheet(cells=made)])
    path.write_text(nbformat.writes(notebook, version=version), encoding="utf-8")
    return path


@pytest.mark.parametrize("version", [3, 4])
def test_cells_are_counted_as_jupyter_runs_them(tmp_path, version):
    path = write(tmp_path / "week 7.ipynb", "a = 1\n", "   ", "!pip install trl\nb = a +\\\n  1\n", version=version)
    notebook = read_notebook(path)
    assert [cell.number for cell in notebook.cells] == [1, 2]
    assert notebook.cells[1].code.splitlines() == ["pass", "b = a +\\", "  1"]
    assert [(each.cell, each.line, each.text) for each in notebook.skipped] == [(2, 1, "!pip install trl")]
    assert notebook.cell_of(f"{path}, cell 2") is notebook.cells[1]
    assert notebook.cell_of("other.py") is None


def test_a_source_may_be_one_text_or_lines(tmp_path):
    path = tmp_path / "x.ipynb"
    cells = [{"cell_type": "code", "source": ["a = 1\n", "b = 2"]}, {"cell_type": "code", "source": "c = 3"}]
    path.write_text(json.dumps({"cells": cells, "nbformat": 4, "nbformat_minor": 5, "metadata": {}}))
    assert [cell.code for cell in read_notebook(path).cells] == ["a = 1\nb = 2", "c = 3"]


PYTHON_IN_IPYTHON = [
    "!pip install -q a \\\n   'b>1'\nimport torch\n",
    "files = !ls *.py\nfor name in files:\n    !echo {name}\n    y = name\n",
    "s = '''\n%d\n!ls\n'''\n%matplotlib inline\nprint(s)",
    's = """\n?x\n""" % 3\n?s',
    "y = (a\n% b)\n!ls",
    "y = a \\\n% b\n!ls",
    "x = {'a': [1,\n2,\n# ] ' (\n3]}\n%autoreload 2\nprint(f'{x[\"a\"]}')",
    "torch.nn.Linear?\nlen??\nx = 'a?'\nx.y?",
    "if x:\n    %load_ext autoreload\nelse:\n    !!ls\n    pass",
    "out = %who_ls\n%who\nout",
    "def f():\n    '''doc \\'''\n    %no magic\n    '''\n    return 3 % 2\n!nvidia-smi",
    "a = 7 % 2\n%%notthefirst\nb = 1",
    "@d\ndef f(): pass\n!x\n#%%\nawait g()",
    "x = 'it''s' + \"'\"\n!ls '\ny = 3",
    "%pip install x; y\nz = 1; w = 2",
    "\n\n!first\nx = 1",
]


class _Ours(ast.NodeTransformer):
    """IPython's calls of its own shell as what we put in their place."""

    def visit_Expr(self, node):
        return ast.Pass() if self._asks(node.value) else node

    def visit_Assign(self, node):
        if (asked := self._asks(node.value)) is None:
            return node
        node.value = ast.List([], ast.Load()) if asked == "getoutput" else ast.Constant(None)
        return node

    @staticmethod
    def _asks(value):
        called = isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute)
        return value.func.attr if called and ast.unparse(value.func).startswith("get_ipython()") else None


@pytest.mark.parametrize("text", PYTHON_IN_IPYTHON)
def test_what_is_python_is_what_ipython_takes_for_it(text):
    theirs = _Ours().visit(ast.parse(TransformerManager().transform_cell(text)))
    ours, skipped = python_of(text, 1)
    assert ast.dump(ast.parse(ours)) == ast.dump(theirs)
    assert ours.count("\n") in {text.count("\n"), text.rstrip("\n").count("\n")}
    assert [each for each in skipped if not each.text.strip()] == []


@given(st.lists(st.sampled_from([
    "x = 1", "!ls", "%timeit -n 3 f(x)", "s = '''", "'''", "y = [1,", "2]", "?x", "z = !ls", "# it's",
    "w = 'a\\'b' # !", "%matplotlib inline", "if x:", "    !ls", "    y = 2", "f(", ")", "v = x % 2", 'u = """a',
    'b"""', "t = (3 \\", "% 2)",
]), max_size=8))  # fmt: skip
def test_lines_keep_their_places_whatever_stands_around_them(lines):
    text = "\n".join(["first = 1", *lines])
    made, skipped = python_of(text, 1)
    assert len(made.split("\n")) == len(lines) + 1
    for each in skipped:
        assert text.split("\n")[each.line - 1].strip().startswith(each.text[:2])
    # What IPython can make Python of, we can.
    try:
        ast.parse(TransformerManager().transform_cell(text))
    except (SyntaxError, ValueError):
        return
    ast.parse(made)


def test_magics_that_later_cells_need_are_said_in_python(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    (tmp_path / "other.py").write_text("import sys\nfrom_other = sys.argv[1:]\n")
    monkeypatch.setenv("A_TEST_S_VARIABLE", "")
    path = write(
        tmp_path / "x.ipynb",
        "%%writefile helper.py\nvalue = '\\\\'\n",
        "%%writefile -a helper.py\nmore = 2",
        "%env A_TEST_S_VARIABLE=a b\n%set_env A_TEST_S_VARIABLE a b\n%env",
        "%run other.py --lr 1\n",
        "%%capture out\nx = 1\ny = 1 / x\n!ls",
        "%%time\nw = 2",
        "%time v = 3",
        "u = %timeit -n 10 -r3 -o v + 1\nout.show()",
        "%cd sub\n%cd nowhere",
    )
    seen = {}
    monkeypatch.setattr(sys, "argv", ["x"])
    notebook = read_notebook(path)
    for cell in notebook.cells:
        exec(compile(cell.code, cell.filename, "exec"), seen)  # noqa: S102 -- our own lines, above
    import os

    assert (tmp_path / "helper.py").read_text() == "value = '\\\\'\nmore = 2\n"
    assert os.environ["A_TEST_S_VARIABLE"] == "a b"
    assert os.getcwd() == str(tmp_path / "sub")  # noqa: PTH109
    assert (seen["from_other"], seen["y"], seen["w"], seen["v"], seen["u"]) == (["--lr", "1"], 1, 2, 3, 4)
    assert [(each.cell, each.line) for each in notebook.skipped] == [(5, 4)]


def test_a_line_of_a_cell_that_fails_is_its_own(tmp_path):
    path = write(tmp_path / "x.ipynb", "x = 1", "%%time\n!pip install \\\n  trl\n\n1 / 0\n")
    cell = read_notebook(path).cells[1]
    with pytest.raises(ZeroDivisionError) as caught:
        exec(compile(cell.code, cell.filename, "exec"), {})  # noqa: S102
    frame = caught.traceback[-1].frame
    assert frame.code.raw.co_filename == f"{path}, cell 2"
    assert caught.traceback[-1].lineno + 1 == 5


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "is not JSON"),
        ("[]", "holds a JSON list, not an object"),
        ("{}", "is no notebook: it has no cells"),
        ('{"cells": 3}', "is no notebook: it has no cells"),
        ('{"cells": [3]}', "is no notebook: a cell is a JSON int"),
        ('{"cells": [{"cell_type": "code", "source": 3}]}', "is no notebook: a cell's source is no text"),
        ('{"cells": [{"cell_type": "code", "source": ["a", 3]}]}', "is no notebook: a cell's source is no text"),
        ('{"cells": []}', "has no cell of code"),
        ('{"cells": [{"cell_type": "code", "source": "  "}]}', "has no cell of code"),
        ('{"cells": [{"cell_type": "markdown", "source": "x"}]}', "has no cell of code"),
        ('{"metadata": {"kernelspec": {"language": "R"}}, "cells": []}', "is a notebook of R, not of Python"),
        ('{"metadata": {"language_info": {"name": "julia"}}, "cells": []}', "is a notebook of julia, not of Python"),
        ('{"metadata": [], "cells": {}}', "is no notebook: it has no cells"),
        ('{"worksheets": [3]}', "has no cell of code"),
        ('{"cells": [{"cell_type": "code"}', "is not JSON"),
    ],
)
def test_what_is_no_notebook_is_one_line(content, told, tmp_path):
    path = tmp_path / "x.ipynb"
    path.write_text(content)
    with pytest.raises(InspectorError) as caught:
        read_notebook(path)
    assert told in caught.value.message


def test_colab_s_modules_answer_and_do_nothing(capsys, monkeypatch):
    for name, module in hosted_modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    assert importlib.util.find_spec("google.colab").name == "google.colab"
    from google.colab import drive, files, userdata
    from kaggle_secrets import UserSecretsClient

    drive.mount("/content/drive", force_remount=True)
    files.download("x")
    assert isinstance(userdata.get("HF_TOKEN"), str)
    assert UserSecretsClient().get_secret("key")
    names = notebook_names()
    names["get_ipython"]().system("rm -r x")
    names["display"]([1], 2)
    assert capsys.readouterr().out == "[1]\n2\n"
