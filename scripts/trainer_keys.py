"""Write ``inspector/data/trainer_keys.json``: every key of the trainers' own argument classes, read off their sources.

Usage: trainer_keys.py AXOLOTL LLAMA_FACTORY TRL TRANSFORMERS FIREFLY TORCHTUNE, each ``VERSION=FOLDER`` of a package's
source. Nothing in them is imported or run: the classes are read as syntax trees.
"""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path

OUT = Path(__file__).parent.parent / "inspector" / "data" / "trainer_keys.json"
READ = {
    "axolotl": ("utils/schemas/*.py", "integrations/*/args.py"),
    "llama-factory": ("hparams/*_args.py",),
    "trl": ("trainer/*_config.py", "experimental/*/*_config.py", "scripts/utils.py"),
    "transformers": ("training_args.py", "training_args_seq2seq.py"),
    "firefly": ("argument.py",),
    "torchtune": ("*.yaml",),
}
INCLUDES = {"llama-factory": ("transformers",), "trl": ("transformers",), "firefly": ("transformers",)}
"""Tools whose classes are subclasses of another's."""


def fields(path: Path) -> set[str]:
    """The annotated names in every class of a file, and the aliases that pydantic's fields have."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef):
            for line in node.body:
                if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
                    found.add(line.target.id)
                    for word in ast.walk(line):
                        if isinstance(word, ast.keyword) and word.arg == "alias":
                            found.add(str(ast.literal_eval(word.value)))
    return {name for name in found if not name.startswith("_")}


def recipe_keys(path: Path) -> set[str]:
    """The top keys of a recipe's YAML."""
    import yaml

    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {str(key) for key in found} if isinstance(found, dict) else set()


def main(sources: list[str]) -> None:
    """Read the sources and write the file."""
    tools: dict[str, dict[str, object]] = {}
    for tool, source in zip(READ, sources, strict=True):
        version, _, folder = source.partition("=")
        keys: set[str] = set()
        for pattern in READ[tool]:
            for path in sorted(Path(folder).rglob(pattern) if tool == "torchtune" else Path(folder).glob(pattern)):
                keys |= recipe_keys(path) if path.suffix == ".yaml" else fields(path)
        tools[tool] = {"version": version, "keys": keys}
    for tool, others in INCLUDES.items():
        for other in others:
            tools[tool]["keys"] |= tools[other]["keys"]
    made = {tool: {"version": said["version"], "keys": sorted(said["keys"])} for tool, said in tools.items()}
    OUT.write_text(json.dumps({"format": "inspector.trainer_keys", "version": 1, "tools": made}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
