"""The hub as the child finds it: what the user has in the cache, and the bundled models by their names.

A bundled model is written into a cache of the run's own, in the library's own layout: its config, a weight file of the
right header without data, and a tokenizer that stands in where none is on disk. All else is the libraries' own work.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import _disable_current_modes

from inspector.errors import InspectorError
from inspector.simulate.script.child.errors import handed_on
from inspector.simulate.script.child.image_processor import write_image_processor
from inspector.simulate.script.child.replaced import replace
from inspector.simulate.script.child.tokenizer import write_tokenizer
from inspector.simulate.script.child.weight_files import write_header
from inspector.sources.bundled import bundled_config, find, load_bundled, nearest

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from inspector.simulate.script.child.world import World
    from inspector.skeleton import Skeleton

REVISION = "0" * 40


class Hub:
    """Names of repositories and what stands for them on disk."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.cache = Path(world.job.folder) / "hub"
        self._known: dict[str, Path | None] = {}
        self._standing_in: set[str] = set()

    def install(self) -> None:
        """Answer from here as soon as the library is imported."""
        self.world.imports.then("huggingface_hub.file_download", self._downloads)
        self.world.imports.then("huggingface_hub._snapshot_download", self._snapshots)
        self.world.imports.then("huggingface_hub.hf_api", self._api)
        self.world.imports.then("transformers.models.auto.tokenization_auto", self._tokenizers)

    def stands_in(self, name: str) -> bool:
        """Whether a tokenizer by this name is one of ours."""
        if Path(name).is_dir():
            return False
        self.folder_of(name)
        if name in self._standing_in:
            self.world.tracer.notes.append(
                f"the tokenizer of {name} is not on this machine: one of its vocabulary stands in, and a chat template "
                "for it; texts' lengths are estimates (give its folder)"
            )
        return name in self._standing_in

    def _downloads(self, module: ModuleType) -> None:
        for name in ("hf_hub_download", "try_to_load_from_cache"):
            original = getattr(module, name)
            replace(f"huggingface_hub.file_download.{name}", self._from_here(original, name))

    def _tokenizers(self, module: ModuleType) -> None:
        """A tokenizer that stands in is of the general class: a family's own would build another from its parts."""
        real = module.AutoTokenizer.from_pretrained

        def from_pretrained(name: object, *args: object, **kwargs: object) -> Any:
            if self.stands_in(str(name)):
                for word in ("use_fast", "tokenizer_type", "trust_remote_code", "config"):
                    kwargs.pop(word, None)
                return module.TokenizersBackend.from_pretrained(name, *args, **kwargs)
            return handed_on(real, name, *args, **kwargs)

        replace(
            "transformers.models.auto.tokenization_auto.AutoTokenizer.from_pretrained", staticmethod(from_pretrained)
        )

    def _snapshots(self, module: ModuleType) -> None:
        replace("huggingface_hub._snapshot_download.snapshot_download",
                self._from_here(module.snapshot_download, "snapshot_download"))  # fmt: skip

    def _api(self, module: ModuleType) -> None:
        """What a script sends to the hub is not sent."""
        world = self.world
        if world.job.network:
            return

        def refuse(name: str) -> Any:
            def not_sent(*given: object, **named: object) -> Any:
                world.skip(f"{name}: nothing is sent to the hub")
                repo = named.get("repo_id") or (given[1] if name == "create_repo" and len(given) > 1 else "me/it")
                # An own repository is there, and has nothing in it: cards of models are looked for.
                self._known.setdefault(str(repo), None)
                return _answer(module, name, str(repo))

            return not_sent

        def logins(_: ModuleType) -> None:
            for name in ("login", "notebook_login", "interpreter_login"):
                replace(f"huggingface_hub._login.{name}", refuse(name), optional=True)

        world.imports.then("huggingface_hub._login", logins)
        for name in ("create_repo", "upload_file", "upload_folder", "create_commit", "whoami", "upload_large_folder"):
            if hasattr(module.HfApi, name):
                replace(f"huggingface_hub.hf_api.HfApi.{name}", refuse(name))
                # The functions are those of one client that was made as the module was imported.
                replace(f"huggingface_hub.hf_api.{name}", getattr(module.api, name))

    def _from_here(self, original: Callable[..., Any], name: str) -> Any:
        def answer(repo_id: object, *args: object, **kwargs: object) -> Any:
            if kwargs.get("repo_type") in {None, "model"}:
                folder = self.folder_of(str(repo_id), _named(kwargs.get("cache_dir")))
                if folder is not None:
                    kwargs["cache_dir"] = str(self.cache)
                    kwargs["revision"] = None
                    if name != "try_to_load_from_cache":
                        kwargs["local_files_only"] = True
            return handed_on(original, repo_id, *args, **kwargs)

        return answer

    def folder_of(self, repo: str, cache_dir: str | os.PathLike[str] | None = None) -> Path | None:
        """The folder of the run that stands for a repository; None where the user's own cache has its weights.

        Raises InspectorError for one that is nowhere.
        """
        if repo not in self._known:
            own = _in_cache(repo, cache_dir)
            if own is not None and _has_weights(own):
                self._known[repo] = None
            else:
                self._known[repo] = self._made(repo, own)
        self.world.model = self.world.model or repo
        return self._known[repo]

    def made_from_config(self, name: str) -> bool:
        """Whether the weights by this name are a header that was written here."""
        return name in self._known and self._known[name] is not None

    def weights_of(self, name: str, cache_dir: str | os.PathLike[str] | None = None) -> str:
        """Where the files of a repository are that are the user's own; else the name itself."""
        own = None if self.made_from_config(name) or Path(name).is_dir() else _in_cache(name, cache_dir)
        return str(own or name)

    def _made(self, repo: str, own: Path | None) -> Path | None:
        bundled = find(repo)
        if bundled is None and "/" in repo and (bundled := find(repo.partition("/")[2])) is not None:
            self.world.tracer.notes.append(f"{repo} is taken to be what {bundled} is: it has the same name")
        config = None if bundled is None else bundled_config(bundled)
        written = None if own is None or (own / "adapter_config.json").exists() else own / "config.json"
        if config is None and written is not None and written.is_file():
            config = json.loads(written.read_text(encoding="utf-8"))
        if config is None:
            if own is not None or self.world.job.network:
                return None
            raise _nowhere(repo)
        root = self.cache / f"models--{repo.replace('/', '--')}"
        folder = root / "snapshots" / REVISION
        folder.mkdir(parents=True)
        (root / "refs").mkdir()
        (root / "refs" / "main").write_text(REVISION, encoding="utf-8")
        for file in own.iterdir() if own is not None else ():
            (folder / file.name).symlink_to(file.resolve())
        if not (folder / "config.json").exists():
            (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
        if not any(
            (folder / name).exists() for name in ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")
        ):
            write_tokenizer(folder, config, repo)
            self._standing_in.add(repo)
        if not any((folder / name).exists() for name in ("preprocessor_config.json", "processor_config.json")) and (
            written_for := write_image_processor(folder, config)
        ):
            self.world.tracer.notes.append(
                f"the image processor of {repo} is not on this machine: {written_for} with its own defaults stands in"
            )
        self._weights(folder, load_bundled(bundled) if bundled else self._built(config, repo), config)
        return folder

    def _built(self, config: dict[str, Any], repo: str) -> Skeleton:
        """Of a model whose config is in the cache, and whose weights are not."""
        from inspector.architecture.read import build_skeleton

        self.world.tracer.notes.append(f"the weights of {repo} are not on this machine: their shapes are its config's")
        with _disable_current_modes():
            return build_skeleton(config, model_id=repo)

    def _weights(self, folder: Path, skeleton: Skeleton, config: dict[str, Any]) -> None:
        dtype = str(config.get("dtype") or config.get("torch_dtype") or "float32").removeprefix("torch.")
        tensors = [
            (tensor.name, tensor.shape,
             getattr(torch, tensor.loaded_dtype(dtype)) if tensor.dtype == "float32" else getattr(torch, tensor.dtype))
            for tensor in skeleton.tensors
            if tensor.tied_to is None and (tensor.is_parameter or tensor.persistent)
        ]  # fmt: skip
        write_header(folder / "model.safetensors", tensors, {"format": "pt"})


def _answer(module: ModuleType, name: str, repo: str) -> Any:
    """What the hub would have said: libraries go on with the address of a repository, or of a commit."""
    where = f"https://huggingface.co/{repo}"
    if name == "create_repo":
        return module.RepoUrl(where)
    if name in {"upload_file", "upload_folder", "create_commit"}:
        commit = {"commit_message": "", "commit_description": "", "oid": REVISION}
        return module.CommitInfo(commit_url=f"{where}/commit/{REVISION}", **commit)
    return {"name": "me", "orgs": []} if name == "whoami" else None


def _nowhere(repo: str) -> InspectorError:
    """A model that is neither bundled nor on this disk: what can be done about it."""
    close = nearest(repo)
    ways = f"`hf download {repo} config.json` once, which is enough; or the folder that it is in, or --network"
    return InspectorError(
        f"{repo} is no bundled model and not on this disk, and nothing is downloaded",
        hint=f"did you mean {close[0]}? Else {ways}" if close else ways,
    )


def _named(folder: object) -> str | None:
    return None if folder is None else str(folder)


def _in_cache(repo: str, cache_dir: str | os.PathLike[str] | None) -> Path | None:
    """The newest snapshot of a repository in the user's cache."""
    home = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    base = Path(os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "huggingface")
    cache = Path(cache_dir or home or base.expanduser() / "hub").expanduser()
    snapshots = cache / f"models--{repo.replace('/', '--')}" / "snapshots"
    found = sorted(snapshots.glob("*"), key=lambda path: path.stat().st_mtime) if snapshots.is_dir() else []
    return found[-1] if found else None


def _has_weights(folder: Path) -> bool:
    return any(folder.glob("*.safetensors")) or any(folder.glob("*.bin"))
