"""Hold our reading of trainers' files to the trainers' own classes, file by file.

Usage: python scripts/trainer_arguments TOOL FOLDER...: every YAML below the folders that is one of TOOL's, which is
``llama-factory`` or ``axolotl@COMMIT`` (what has no version says where it is from); the tool is found on PYTHONPATH, as
its module here says. What was compared is kept in ``tests/simulate/readers/own_arguments.json`` with its date; a file
that is there is not read anew.
"""

from __future__ import annotations

import hashlib
import json
import sys
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from inspector.errors import InspectorError
from inspector.simulate.setup.configured import read_config

OUT = Path(__file__).parents[2] / "tests" / "simulate" / "readers" / "own_arguments.json"
MOST = 32 * 1024


def compared(tool: Any, path: Path, content: dict[str, Any]) -> dict[str, Any]:
    """How many settings are the same, and which are not; or why the tool or we refuse the file."""
    try:
        own = tool.theirs(path, content)
    except Exception as error:  # noqa: BLE001 (what a strange tool raises when it refuses)
        refusal = " ".join(str(error).split())[:MOST]
        try:
            read_config(path)
        except InspectorError as ours:
            return {"both_refuse": f"{ours}"[:120]}
        return {"they_refuse": refusal[:240]}
    try:
        told = read_config(path)
    except InspectorError as error:
        return {"differs": {"refused": [str(error), None]}}
    if told.tools[0] != tool.NAME:
        return {"differs": {"tool": [told.tools[0], tool.NAME]}}
    differs = {key: [told.value(key), value] for key, value in own.items() if told.value(key) != value}
    return {"compared": len(own), "differs": differs}


def main(name: str, folders: list[str]) -> None:
    """Compare every file, and keep what was found after each."""
    name, _, commit = name.partition("@")
    tool = import_module("of_" + name.replace("-", "_"))
    kept = json.loads(OUT.read_text()) if OUT.exists() else {"format": "inspector.own_arguments", "version": 2}
    mine = kept.setdefault("tools", {}).setdefault(name, {"files": {}})
    mine["libraries"] = {package: version(package) for package in tool.PACKAGES} | ({name: commit} if commit else {})
    for folder in folders:
        for path in sorted(path for path in Path(folder).rglob("*.y*ml")):
            text = path.read_text(encoding="utf-8")
            content = yaml.safe_load(text)
            key = f"{path.parent.name}/{path.name}"
            digest = hashlib.sha256(text.encode()).hexdigest()[:16]
            if not isinstance(content, dict) or not tool.is_theirs(content):
                continue
            if mine["files"].get(key, {}).get("sha256") == digest:
                continue
            mine["files"][key] = {"sha256": digest, **compared(tool, path, content)}
            mine["date"] = datetime.now(UTC).date().isoformat()
            OUT.write_text(json.dumps(kept, indent=1) + "\n")
    found = mine["files"]
    print(f"{len(found)} files, {sum(one.get('compared', 0) for one in found.values())} settings")
    for key, one in found.items():
        if one.get("differs") or "they_refuse" in one:
            print(key, json.dumps({word: value for word, value in one.items() if word not in {"sha256", "compared"}}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
