"""The program itself, run as ``python`` runs it: a file, a module, a command's function, or cells."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inspector.simulate.script.overrides import edits_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inspector.simulate.script.child.lines import Lines
    from inspector.simulate.script.job import Job


def run(job: Job, lines: Lines) -> None:
    """Like ``python``: the script is ``__main__``, its folder comes first on the path, its arguments are ``argv``."""
    main_module: Any = types.ModuleType("__main__")
    main_module.__builtins__ = __builtins__
    sys.modules["__main__"] = main_module
    if job.kind == "module":
        import importlib.util
        import runpy

        sys.argv = [job.target, *job.args]
        sys.path[0] = str(Path.cwd())
        for name in (job.target, f"{job.target}.__main__"):
            spec = importlib.util.find_spec(name)
            if spec is None or not spec.origin:
                break
            lines.also(spec.origin)
            if spec.submodule_search_locations is None:
                break
        runpy.run_module(job.target, run_name="__main__", alter_sys=True)
        return
    if job.kind == "entry":
        import importlib

        module, _, function = job.target.partition(":")
        sys.argv = [function, *job.args]
        sys.path[0] = str(Path.cwd())
        found = importlib.import_module(module)
        top = sys.modules[module.partition(".")[0]]
        lines.also(top.__file__ or found.__file__ or "", package=bool(top.__file__))
        sys.exit(getattr(found, function)())
    sys.argv = [job.shown or "ipykernel_launcher.py", *job.args]
    sys.path[0] = str(folder_of(job))
    if job.kind == "notebook":
        sys.path.insert(1, str(Path.cwd()))  # as a kernel has it, also for a cell that is run by itself
        _as_a_kernel(main_module)
    else:
        main_module.__file__ = job.shown
    main_module.__annotations__ = {}
    for text, name in _texts(job):
        exec(compile(text, name, "exec"), main_module.__dict__)  # noqa: S102 -- running it is the purpose


def _as_a_kernel(main_module: Any) -> None:
    """What cells find without an import, and the modules of hosts of notebooks; nobody is there to be asked."""
    from inspector.simulate.script.child.replaced import replace
    from inspector.simulate.script.notebook.names import hosted_modules, notebook_names, secret

    vars(main_module).update(notebook_names())
    sys.modules.update(hosted_modules())
    replace("getpass.getpass", lambda prompt="Password: ", *_, **__: secret(prompt.strip(" :") or "password"))


def folder_of(job: Job) -> Path:
    """Where modules of the user's own lie: beside a file that has a name, else where we are."""
    return Path(job.target).parent if job.kind in {"file", "notebook"} and job.shown else Path.cwd()


def _texts(job: Job) -> Iterator[tuple[str | bytes, str]]:
    """The script, or a notebook's cells in their order, with what a traceback calls each."""
    from inspector.simulate.script.overrides import apply_edits, decoded

    edits = edits_of(job.edits)
    if job.kind != "notebook":
        data = Path(job.target).read_bytes()
        yield (apply_edits(decoded(data), edits) if edits else data), job.shown
        return
    import linecache

    from inspector.simulate.script.notebook import read_notebook

    for cell in read_notebook(job.shown or job.target, job.shown).cells:
        # So that a traceback shows the line of the cell.
        lines = cell.code.splitlines(keepends=True)
        linecache.cache[cell.filename] = (len(cell.code), None, lines, cell.filename)
        yield (apply_edits(cell.code, edits, cell.number) if edits else cell.code), cell.filename
