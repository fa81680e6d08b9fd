"""For a process that children are forked from: PyTorch would import a real Triton before they replace it."""

from pathlib import Path

from inspector.simulate.script.child.stubs.triton_package import stand_in

stand_in(Path())
