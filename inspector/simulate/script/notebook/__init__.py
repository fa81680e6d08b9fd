"""A notebook as the Python it would run, cell by cell: what is no Python in it is skipped, and listed."""

from inspector.simulate.script.notebook.read import Cell, Notebook, read_notebook
from inspector.simulate.script.notebook.to_python import Skipped

__all__ = ["Cell", "Notebook", "Skipped", "read_notebook"]
