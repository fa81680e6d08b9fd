"""`make release`: wheel, source archive and release notes in dist/, built from what git tracks, and checked.

Built in a copy, so that no leftover of a build is in them. The version is that of pyproject.toml; everything else that
says one reads it from the installed package.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
LARGEST = 3_000_000
"""Bytes that an archive may have; a package that grows past it carries something that was not meant."""
LINK = re.compile(r"(?P<picture>!?)\[(?P<text>[^]]*)\]\((?P<target>[^)]+)\)")
NOT_SHIPPED = ("tests/",)
"""Of tracked folders that setuptools would take: what MANIFEST.in leaves out of the source archive."""


def project(root: Path) -> dict[str, Any]:
    """Of pyproject.toml, the table that describes the package."""
    table: dict[str, Any] = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return table


def tracked(root: Path) -> list[str]:
    """Every file of the project that git knows and that is there."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True).stdout
    return [name for name in listed.split("\0") if name and (root / name).is_file()]


def package_page(readme: str, repository: str | None, version: str) -> str:
    """The README as a package page can show it: links absolute, at the release's tag.

    A package page has no files beside it. Without an address, links are their text and pictures what they show, in
    words. Addresses are GitHub's forms (``/blob/TAG/``, ``/raw/TAG/``), which Gitea redirects too.
    """

    def absolute(match: re.Match[str]) -> str:
        target, text = match["target"], match["text"]
        if target.startswith(("http:", "https:", "#", "mailto:")):
            return match[0]
        if repository is None:
            return f"*{text}*" if match["picture"] else text
        kind = "raw" if match["picture"] else "blob"
        return f"{match['picture']}[{text}]({repository.rstrip('/')}/{kind}/v{version}/{target})"

    # Not in blocks of code: every second part between fences.
    parts = re.split(r"(^```.*?^```$)", readme, flags=re.MULTILINE | re.DOTALL)
    return "".join(part if part.startswith("```") else LINK.sub(absolute, part) for part in parts)


def notes(changelog: str, version: str) -> tuple[str, bool]:
    """What the changelog says of a version, and whether under its number: what is *Unreleased* comes first."""
    sections = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL))
    unreleased = sections.get("Unreleased", "").strip()
    said = unreleased or sections.get(version, "").strip()
    if not said:
        sys.exit(f"CHANGELOG.md says nothing of {version}: add a section '## {version}'")
    return said + "\n", not unreleased


def build(root: Path, out: Path, kinds: tuple[str, ...] = ("wheel", "sdist")) -> list[Path]:
    """Build from a copy of what git tracks, by the backend that pyproject.toml names; nothing is fetched."""
    table = project(root)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name)
        for path in tracked(root):
            (copy / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / path, copy / path)
        readme = copy / table["readme"]
        address = table.get("urls", {}).get("Repository")
        readme.write_text(package_page(readme.read_text(encoding="utf-8"), address, table["version"]), encoding="utf-8")
        calls = "; ".join(f"print(backend.build_{kind}({str(out.resolve())!r}))" for kind in kinds)
        program = f"import setuptools.build_meta as backend; {calls}"
        done = subprocess.run([sys.executable, "-c", program], cwd=copy, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(done.stderr)
    ends = {"wheel": ".whl", "sdist": ".tar.gz"}
    stem = f"{table['name'].replace('-', '_')}-{table['version']}"
    return [next(path for path in out.glob(f"{stem}*") if path.name.endswith(ends[kind])) for kind in kinds]


def faults_of_wheel(wheel: Path, root: Path) -> list[str]:
    """What a wheel has that is not tracked, lacks that is, or says wrongly of itself."""
    table = project(root)
    with zipfile.ZipFile(wheel) as archive:
        names = [info.filename for info in archive.infolist() if not info.is_dir()]
        said = Parser().parsestr(archive.read(next(name for name in names if name.endswith("/METADATA"))).decode())
        entries = archive.read(next(name for name in names if name.endswith("/entry_points.txt"))).decode()
    package = {name for name in names if name.startswith("inspector/")}
    shared = {name.partition(".data/data/share/llm-inspector/")[2] for name in names if ".data/data/" in name}
    wanted = {name for name in tracked(root) if name.startswith("inspector/")}
    faults = [f"not tracked by git: {name}" for name in sorted(package - wanted)]
    faults += [f"missing: {name}" for name in sorted(wanted - package)]
    faults += [f"missing: {name}" for name in tracked(root) if name.startswith("skills/") and name not in shared]
    faults += [
        f"stray: {name}"
        for name in names
        if name not in package and ".dist-info/" not in name and ".data/data/share/llm-inspector/skills/" not in name
    ]
    faults += [f"no command {name}" for name in table["scripts"] if f"{name} =" not in entries]
    faults += [f"{key} is {said[key]!r}" for key in ("Name", "Version") if said[key] != table[key.lower()]]
    faults += faults_of_page(str(said.get_payload()))
    return faults + too_large(wheel)


def faults_of_archive(archive: Path, root: Path) -> list[str]:
    """What a source archive lacks to be built and read, and what it has that git does not track."""
    with tarfile.open(archive) as opened:
        names = {member.name.partition("/")[2] for member in opened if member.isfile()}
    known = {name for name in tracked(root) if not name.startswith(NOT_SHIPPED)}
    made = {"PKG-INFO", "setup.cfg"}
    needed = {name for name in known if name.startswith(("inspector/", "skills/"))}
    needed |= {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "MANIFEST.in"}
    faults = [f"missing: {name}" for name in sorted(needed - names)]
    stray = {name for name in names - known - made if not name.startswith("llm_inspector.egg-info/")}
    return faults + [f"stray: {name}" for name in sorted(stray)] + too_large(archive)


def faults_of_page(page: str) -> list[str]:
    """Links of a package page that lead nowhere from there."""
    text = re.sub(r"^```.*?^```$", "", page, flags=re.MULTILINE | re.DOTALL)
    targets = [match["target"] for match in LINK.finditer(text)]
    return [f"a link that leads nowhere: {target}" for target in targets if not re.match(r"https?:|#|mailto:", target)]


def too_large(path: Path) -> list[str]:
    """A fault when an archive takes more than LARGEST bytes."""
    size = path.stat().st_size
    return [f"{size:,} bytes, more than {LARGEST:,}"] if size > LARGEST else []


def twine(paths: list[Path]) -> str:
    """What `twine check --strict` says of their metadata; twine is no part of the lock."""
    command = [sys.executable, "-m", "twine", "check", "--strict", *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "No module named twine" in done.stderr:
        return "not asked: pip install twine"
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return "passed"


def main() -> None:
    """Build, check, and say what a person still has to do."""
    table, out = project(ROOT), ROOT / "dist"
    shutil.rmtree(out, ignore_errors=True)
    wheel, archive = build(ROOT, out)
    faults = [f"{wheel.name}: {fault}" for fault in faults_of_wheel(wheel, ROOT)]
    faults += [f"{archive.name}: {fault}" for fault in faults_of_archive(archive, ROOT)]
    said, named = notes((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), table["version"])
    (out / "notes.md").write_text(said, encoding="utf-8")
    for path in (wheel, archive, out / "notes.md"):
        print(f"{path.relative_to(ROOT)}  {path.stat().st_size:,} bytes")
    if faults:
        sys.exit("\n".join(faults))
    print("twine check --strict:", twine([wheel, archive]))
    if not named:
        print(f"to do: what CHANGELOG.md calls Unreleased needs a number; pyproject.toml says {table['version']}")
    if "urls" not in table:
        print(
            "to do: pyproject.toml has no [project.urls]; with Repository the package page gets its links and pictures"
        )


if __name__ == "__main__":
    main()
