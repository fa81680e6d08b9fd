"""Other libraries' names, replaced for a while on our thread alone: the one inventory, and the one way to do it.

A dry run is a guest in the process it runs in. `PATCHES` lists every foreign name it takes the place of; nothing else
in the package assigns to one, as a test holds. What is done without replacing a name:

* operators registered with PyTorch's dispatcher act on meta tensors of our thread, or under the autocast key of a
  device that nobody has (`inspector.simulate.device.decompositions`, `.autocast`);
* modules are followed by hooks on the traced model's own instances (`inspector.simulate.tracing.following`);
* warnings pass a filter that looks at the thread (`without_warnings`);
* a default dtype and random numbers of our own come from modes, which PyTorch keeps for each thread
  (`inspector.architecture.default_dtype`, `inspector.simulate.device.random_numbers`).
"""

from inspector.patched.by_thread import without_warnings
from inspector.patched.inventory import PATCHES, TESTED, Patch
from inspector.patched.lock import acting
from inspector.patched.replacing import patched

__all__ = ["PATCHES", "TESTED", "Patch", "acting", "patched", "without_warnings"]
