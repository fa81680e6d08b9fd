"""The kernel's own word that nothing is written outside the run's folder: also not by C code, nor by what it starts.

Landlock (Linux 5.13 and newer; Documentation/userspace-api/landlock.rst and include/uapi/linux/landlock.h): a process
gives rights up for itself and for all that it starts, without being asked for any. Where the kernel has none, Python's
own functions are all that is in the way.
"""

from __future__ import annotations

import ctypes
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_CREATE, _ADD, _RESTRICT = 444, 445, 446
"""Numbers of the system calls, the same on every architecture. Source: ``include/uapi/asm-generic/unistd.h``."""

_VERSION = 1
_BENEATH = 1
_NO_NEW_PRIVILEGES = 38
"""``LANDLOCK_CREATE_RULESET_VERSION``, ``LANDLOCK_RULE_PATH_BENEATH``, ``PR_SET_NO_NEW_PRIVS``."""

_WRITING = sum(1 << bit for bit in (1, 4, 5, 6, 7, 8, 9, 10, 11, 12))
"""To write into files, to remove, and to make files, folders, links, pipes and devices."""

_NEWER = {2: 13, 3: 14}
"""By the version that has it: to move between folders, and to cut off."""


class _Rights(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64),)


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32))


def write_nowhere_but(folders: Sequence[str]) -> bool:
    """Give up writing everywhere else, for good; False where the kernel cannot."""
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(_CREATE, None, ctypes.c_size_t(0), _VERSION)
    if version < 1:
        return False
    writing = _WRITING | sum(1 << bit for since, bit in _NEWER.items() if version >= since)
    rights = _Rights(writing)
    rules = libc.syscall(_CREATE, ctypes.byref(rights), ctypes.c_size_t(ctypes.sizeof(rights)), 0)
    if rules < 0:
        return False
    try:
        for folder in folders:
            _allow(libc, rules, folder, writing)
        if libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
            return False
        return bool(libc.syscall(_RESTRICT, rules, 0) == 0)
    finally:
        os.close(rules)


def _allow(libc: ctypes.CDLL, rules: int, folder: str, writing: int) -> None:
    try:
        opened = os.open(folder, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        rule = _Beneath(writing, opened)
        libc.syscall(_ADD, rules, _BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(opened)
