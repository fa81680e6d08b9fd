"""Python's own functions of files, answered from the scratch folder first."""

from __future__ import annotations

import builtins
import contextlib
import importlib
import os
import shutil
from typing import TYPE_CHECKING, Any

from inspector.simulate.script.child.errors import emulated, handed_on
from inspector.simulate.script.child.replaced import replace
from inspector.simulate.script.child.scratch import copy, full_name, make_folders, real

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from inspector.simulate.script.child.scratch import Name, Scratch

_WRITES = frozenset("wax+")


def install(scratch: Scratch, *, write: bool) -> None:
    """Put all of it in its place, unless the script may ``write``."""
    if write:
        return
    for name in ("stat", "lstat", "access", "listdir", "scandir", "open", "mkdir", "rmdir", "remove", "unlink",
                 "rename", "replace", "utime", "chmod", "truncate", "symlink", "link", "readlink", "chown", "mkfifo",
                 "mknod"):  # fmt: skip
        if hasattr(os, name):
            real[f"os.{name}"] = getattr(os, name)
    real["open"] = builtins.open
    # By names and not by open folders, which would be those of the disk.
    replace("shutil._use_fd_functions", False)
    for name in ("stat", "lstat", "access", "readlink"):
        replace(f"os.{name}", _named(_reading(real[f"os.{name}"], scratch)))
    for name in ("utime", "chmod", "truncate", "chown"):
        replace(f"os.{name}", _named(_writing(real[f"os.{name}"], lambda path: scratch.to_write(path, keep=True))))
    for name in ("mkfifo", "mknod"):
        replace(f"os.{name}", _named(_writing(real[f"os.{name}"], scratch.to_write)))
    _lists(scratch)
    _opens(scratch)
    _folders(scratch)


_FOLDERS = ("dir_fd", "dst_dir_fd", "src_dir_fd")


def _beside(folder: int, name: Name) -> Name:
    """A name relative to an open folder, as a whole one: the folder may be of the disk, and the file of the run."""
    if isinstance(name, int):
        return name
    return os.path.join(real["os.readlink"](f"/proc/self/fd/{folder}"), os.fsdecode(name))


def _named(function: Callable[..., Any]) -> Callable[..., Any]:
    """What the system refuses is the script's own error, and names the file as the script did."""

    def called(*args: Any, **kwargs: Any) -> Any:
        for number, name in enumerate(_FOLDERS):
            if kwargs.get(name) is not None:
                where = number if name == "dst_dir_fd" else 0
                args = (*args[:where], _beside(kwargs.pop(name), args[where]), *args[where + 1 :])
        try:
            return function(*args, **kwargs)
        except OSError as error:
            if isinstance(error.filename, str) and args and not isinstance(args[0], int):
                error.filename = os.fspath(args[0])
            if isinstance(error.filename2, str) and len(args) > 1 and not isinstance(args[1], int):
                error.filename2 = os.fspath(args[1])
            raise emulated(error) from None

    return called


def _reading(function: Callable[..., Any], scratch: Scratch) -> Callable[..., Any]:
    def read(path: Name, *args: object, **kwargs: object) -> Any:
        if not scratch.any_writing:
            return handed_on(function, path, *args, **kwargs)
        return handed_on(function, scratch.to_read(path), *args, **kwargs)

    return read


def _writing(function: Callable[..., Any], where: Callable[[Name], Name]) -> Callable[..., Any]:
    def written(path: Name, *args: object, **kwargs: object) -> Any:
        return handed_on(function, where(path), *args, **kwargs)

    return written


def _opens(scratch: Scratch) -> None:
    opened, low = real["open"], real["os.open"]

    def open_file(file: Any, mode: str = "r", *args: object, **kwargs: object) -> Any:
        if isinstance(file, int):
            return handed_on(opened, file, mode, *args, **kwargs)
        if _WRITES & set(str(mode)):
            target = scratch.to_write(file, keep="a" in mode or "r" in mode)
            scratch.any_writing = True
            scratch.made(file)
            return handed_on(opened, target, mode, *args, **kwargs)
        return handed_on(opened, scratch.to_read(file) if scratch.any_writing else file, mode, *args, **kwargs)

    def open_low(path: Name, flags: int, *args: object, **kwargs: object) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND):
            path = scratch.to_write(path, keep=not flags & os.O_TRUNC)
            scratch.any_writing = True
        elif scratch.any_writing:
            path = scratch.to_read(path)
        return int(handed_on(low, path, flags, *args, **kwargs))

    replace("builtins.open", _named(open_file))
    replace("io.open", _named(open_file))
    replace("os.open", _named(open_low))
    # These keep the name that they found when they were imported, which was before now.
    for name in ("bz2._builtin_open", "tarfile.bltn_open", "tokenize._builtin_open"):
        importlib.import_module(name.partition(".")[0])
        replace(name, _named(open_file), optional=True)


def _folders(scratch: Scratch) -> None:
    def mkdir(path: Name, *args: object, **kwargs: object) -> None:
        full = full_name(path)
        if full is None or scratch.inside(full):
            handed_on(real["os.mkdir"], path, *args, **kwargs)
            return
        os.stat(os.path.dirname(full))  # as mkdir says it: no such file or directory
        if os.path.lexists(full):
            raise FileExistsError(17, "File exists", str(path))
        make_folders(os.path.dirname(scratch.ours(full)))
        real["os.mkdir"](scratch.ours(full), *args)
        scratch.any_writing = True
        scratch.made(path)

    def remove(path: Name, *args: object, **kwargs: object) -> None:
        full = full_name(path)
        if full is None or scratch.inside(full):
            handed_on(real["os.remove"], path, *args, **kwargs)
            return
        os.lstat(full)
        with contextlib.suppress(FileNotFoundError):
            real["os.remove"](scratch.ours(full))
        scratch.any_writing = True
        scratch.removed(path)

    def rmdir(path: Name, *args: object, **kwargs: object) -> None:
        full = full_name(path)
        if full is None or scratch.inside(full):
            handed_on(real["os.rmdir"], path, *args, **kwargs)
            return
        if os.listdir(path):
            raise OSError(39, "Directory not empty", str(path))
        with contextlib.suppress(FileNotFoundError):
            real["os.rmdir"](scratch.ours(full))
        scratch.any_writing = True
        scratch.removed(path)

    def move(source: Name, target: Name, **_: object) -> None:
        whence = scratch.to_read(source)
        old = full_name(source)
        outside = old is not None and not scratch.inside(old) and whence == source
        where = scratch.to_write(target)
        make_folders(os.path.dirname(os.path.abspath(where)))
        if outside:
            (shutil.copytree if os.path.isdir(whence) else copy)(str(whence), str(where))
        else:
            real["os.replace"](whence, where)
        scratch.any_writing = True
        scratch.removed(source)
        scratch.made(target)

    def link(source: Name, target: Name, *_: object, **__: object) -> None:
        real["os.symlink"](scratch.to_read(source), scratch.to_write(target))
        scratch.any_writing = True
        scratch.made(target)

    replace("os.mkdir", _named(mkdir))
    replace("os.remove", _named(remove))
    replace("os.unlink", _named(remove))
    replace("os.rmdir", _named(rmdir))
    replace("os.rename", _named(move))
    replace("os.replace", _named(move))
    replace("os.symlink", _named(link))
    replace("os.link", _named(link))


class _Entries:
    """``os.scandir`` over two folders."""

    def __init__(self, entries: Iterator[Any]) -> None:
        self._entries = entries

    def __iter__(self) -> Iterator[Any]:
        return self._entries

    def __next__(self) -> Any:
        return next(self._entries)

    def __enter__(self) -> _Entries:
        return self

    def __exit__(self, *_: object) -> None: ...

    def close(self) -> None: ...


def _lists(scratch: Scratch) -> None:
    scandir, listdir = real["os.scandir"], real["os.listdir"]

    def both(path: Name) -> tuple[str, str] | None:
        full = full_name(path)
        if full is None or not scratch.any_writing or scratch.inside(full):
            return None
        return full, scratch.ours(full)

    def entries(path: Name = ".") -> Any:
        found = both(path)
        if found is None:
            return handed_on(scandir, path)
        full, ours = found
        names: dict[str, Any] = {}
        there = False
        for folder, of_run in ((path, False), (ours, True)):
            try:
                for entry in scandir(folder):
                    if of_run or entry.name not in scratch.gone_in(full):
                        names[entry.name] = entry
                there = True
            except FileNotFoundError:
                continue
        if not there:
            return handed_on(scandir, path)
        return _Entries(iter(list(names.values())))

    def names(path: Name = ".") -> list[Any]:
        found = both(path)
        if found is None:
            return list(handed_on(listdir, path))
        return [entry.name for entry in entries(path)]

    replace("os.scandir", _named(entries))
    replace("os.listdir", _named(names))
