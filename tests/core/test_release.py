"""What is released: the wheel has all of the package and nothing else, and works where it is installed."""

import os
import re
import shlex
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from scripts import release
from tests.docs.test_blocks import README, blocks, shows

ROOT = Path(__file__).parents[2]
PROJECT = release.project(ROOT)


@pytest.fixture(scope="module")
def wheel(once):
    pytest.importorskip("packaging.licenses", reason="setuptools builds this wheel with packaging 24.2 or later alone")
    [path] = once("wheel", lambda folder: release.build(ROOT, folder, ("wheel",))).glob("*.whl")
    return path


def test_the_wheel_is_the_package_and_nothing_else(wheel):
    assert release.faults_of_wheel(wheel, ROOT) == []


def test_what_is_missing_stray_or_wrong_in_a_wheel_is_named(wheel, tmp_path):
    worse = tmp_path / wheel.name
    with zipfile.ZipFile(wheel) as good, zipfile.ZipFile(worse, "w") as bad:
        for name in good.namelist():
            data = good.read(name)
            if name.endswith("/METADATA"):
                data = data.replace(b"\nVersion: ", b"\nVersion: 9", 1) + b"\n![a picture](docs/a.png)\n"
            if not name.endswith(("py.typed", "SKILL.md")):
                bad.writestr(name, data)
        bad.writestr("inspector/left.tmp", "")
        bad.writestr("build/lib.py", "")
    *faults, size = release.faults_of_wheel(worse, ROOT)
    assert size.endswith("more than 3,000,000")  # nothing in it is packed
    assert faults == [
        "not tracked by git: inspector/left.tmp",
        "missing: inspector/py.typed",
        "missing: skills/inspector/SKILL.md",
        "stray: build/lib.py",
        f"Version is '9{PROJECT['version']}'",
        "a link that leads nowhere: docs/a.png",
    ]


def test_a_source_archive_that_lacks_something_or_has_tests_is_told(tmp_path):
    path = tmp_path / "some.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name in ("pyproject.toml", "tests/conftest.py"):
            archive.add(ROOT / name, f"llm_inspector-1/{name}")
    faults = release.faults_of_archive(path, ROOT)
    assert "missing: README.md" in faults
    assert "missing: inspector/py.typed" in faults
    assert faults[-1] == "stray: tests/conftest.py"


@pytest.mark.pinned  # pages as the pinned rich pads them
def test_the_installed_wheel_passes_the_readme_s_first_commands_from_an_empty_folder(wheel, tmp_path):
    place = tmp_path / "venv"
    venv.create(place, symlinks=True)
    python = place / "bin" / "python"
    command = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--no-deps",
        "--no-index",
        "--no-compile",
        wheel,
    ]
    subprocess.run([*command, "--quiet", "--disable-pip-version-check"], check=True, timeout=120)
    # The libraries are those of this environment; what it has of Inspector itself is found by a hook that this is not.
    libraries = sysconfig.get_path("purelib")
    [site] = place.glob("lib/python*/site-packages")
    (site / "libraries.pth").write_text(libraries + "\n", encoding="utf-8")
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    empty = tmp_path / "empty"
    empty.mkdir()

    def printed(*words):
        done = subprocess.run(words, cwd=empty, env=env, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    asks = "import inspector; print(inspector.__file__, inspector.__version__)"
    assert printed(python, "-c", asks).split() == [str(site / "inspector" / "__init__.py"), PROJECT["version"]]
    readme = blocks(README.read_text(encoding="utf-8"))
    for command in ("memory", "layers", "lora"):
        words, shown = next(block for block in readme if block[0].startswith(f"inspector {command}"))
        real = printed(place / "bin" / "inspector", *shlex.split(words)[1:])
        assert shows(shown, real), f"{words} printed:\n{real}"
    page = Path(printed(place / "bin" / "inspector", "report").split()[-1])
    assert (empty / page).read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert (place / "share" / "llm-inspector" / "skills" / "inspector" / "SKILL.md").is_file()


def test_a_package_page_has_links_with_an_address_or_none():
    text = "[how](docs/lab.md) ![a stack](docs/a.png) [far](https://e.org/x) [here](#there)\n```sh\n[a](b)\n```\n"
    kept = "[far](https://e.org/x) [here](#there)\n```sh\n[a](b)\n```\n"
    assert release.package_page(text, None, "1.2") == f"how *a stack* {kept}"
    to = "https://forge.example/one/two"
    linked = f"[how]({to}/blob/v1.2/docs/lab.md) ![a stack]({to}/raw/v1.2/docs/a.png) {kept}"
    assert release.package_page(text, to + "/", "1.2") == linked
    assert release.faults_of_page(linked) == []
    for match in release.LINK.finditer(re.sub(r"(?ms)^```.*?^```$", "", README.read_text(encoding="utf-8"))):
        assert match["target"].startswith(("http", "#")) or (ROOT / match["target"].partition("#")[0]).exists()


def test_notes_are_of_the_version_and_what_is_unreleased_comes_first():
    log = "# Changelog\n\n## 0.2.0\n- Two.\n\n## 0.1.0\n- One.\n"
    assert release.notes(log, "0.1.0") == ("- One.\n", True)
    assert release.notes(log.replace("## 0.2", "## Unreleased\n- New.\n\n## 0.2"), "0.2.0") == ("- New.\n", False)
    with pytest.raises(SystemExit, match=r"CHANGELOG.md says nothing of 0.3.0"):
        release.notes(log, "0.3.0")


def test_the_container_file_copies_what_there_is_and_runs_as_nobody_s_root():
    lines = (ROOT / "Containerfile").read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    words = [line.split() for line in lines if line and not line.startswith("#")]
    let_in = [line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[:1] == "!"]
    copied = {name for first, *names in words if first == "COPY" and "--from=built" not in names for name in names[:-1]}
    assert copied == set(let_in)
    assert all((ROOT / name).exists() for name in copied)
    # pyproject.toml asks for these when a wheel is built, so they have to be there.
    assert {PROJECT["readme"], *PROJECT["license-files"]} <= copied
    assert all(PROJECT["requires-python"].removeprefix(">=") in line[1] for line in words if line[0] == "FROM")
    assert [line for line in words if line[0] == "USER"] == [["USER", "inspector"]]
    assert words[-2:] == [["ENTRYPOINT", '["inspector"]'], ["CMD", '["--help"]']]
    assert "inspector" in PROJECT["scripts"]
