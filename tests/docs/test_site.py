"""The site for people: it builds strictly, every link leads somewhere, and no page fetches anything."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

import pytest

ROOT = Path(__file__).parents[2]
FETCHED = {"img": "src", "script": "src", "link": "href", "iframe": "src", "source": "src"}


class Page(HTMLParser):
    """What a page links to, what it fetches, and the places in it that can be linked to."""

    def __init__(self, text):
        super().__init__()
        self.links, self.fetched, self.places = set(), set(), {"", "__top"}
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.places |= {attrs[name] for name in ("id", "name") if attrs.get(name)}
        if tag == "a" and "href" in attrs:
            self.links.add(attrs["href"])
        where = attrs.get(FETCHED.get(tag))
        # A canonical address and an edit link are told, not fetched.
        if where and attrs.get("rel") not in {"canonical", "prev", "next", "edit"}:
            self.fetched.add(where)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert not done.stderr.strip()
    # The lessons and the ledger are files of other makers, with tests of their own.
    pages = {page: Page(page.read_text(encoding="utf-8")) for page in folder.rglob("*.html") if page.name != "404.html"}
    return folder, {page: found for page, found in pages.items() if page.parent.name != "reports"}


def leads_to(folder, page, link):
    """The file and the place that a link of a page means; None for one that leaves the site."""
    if urlsplit(link).scheme or link.startswith("//"):
        return None
    path, place = urldefrag(link)
    target = (page.parent / unquote(path)).resolve() if path else page
    return (target / "index.html" if target.is_dir() else target), unquote(place)


def test_every_link_leads_somewhere(site):
    folder, pages = site
    assert len(pages) > 30
    for page, found in pages.items():
        for link in found.links | found.fetched:
            target = leads_to(folder, page, link)
            if target is None:
                continue
            file, place = target
            assert file.is_file(), f"{page.relative_to(folder)} -> {link}"
            if place:
                places = pages[file].places if file in pages else Page(file.read_text(encoding="utf-8")).places
                assert place in places, f"{page.relative_to(folder)} -> {link}"


def test_nothing_is_fetched_from_elsewhere(site):
    folder, pages = site
    for page, found in pages.items():
        assert all(leads_to(folder, page, link) for link in found.fetched), page
        assert not re.search(r"@import|fonts\.g", page.read_text(encoding="utf-8")), page


def test_the_reference_has_every_command_and_method(site):
    from inspector.cli.main import COMMANDS

    folder, pages = site
    commands = pages[folder / "reference" / "commands.html"].places
    assert {f"inspector-{name}" for name in (*COMMANDS, "simulate-finetune", "simulate-generate")} <= commands
    python = pages[folder / "reference" / "python.html"].places
    assert {"inspector.load", "inspector.model.Model.finetune", "inspector.run"} <= python


def test_the_ledgers_page_has_the_readmes_figures(site):
    folder, _ = site
    page = (folder / "explanation" / "how-right.html").read_text(encoding="utf-8")
    assert page.count("<table>") == 4  # two of the README, two of its own
    assert "README:" not in page
    assert "fitcheck-llm" in page


def test_the_lessons_are_part_of_it(site):
    folder, pages = site
    for page in (ROOT / "reports").glob("*.html"):
        assert (folder / "reports" / page.name).read_bytes() == page.read_bytes()
    assert "reports/Llama-3.1-8B.html#what-if" in pages[folder / "lessons.html"].links
