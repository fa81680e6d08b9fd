"""Fetch the scripts that ship inside the package from the npm registry: ``python scripts/vendor.py``. Needs npm.

Versions and files are those of inspector/data/vendor/versions.json; to move to a new version, change it there first.
plotly.js should be the version that plotly's own Python package carries (``plotly.offline.get_plotlyjs_version()``).
"""

from __future__ import annotations

import json
import subprocess
import tarfile
import tempfile
from pathlib import Path

VENDOR = Path(__file__).parent.parent / "inspector" / "data" / "vendor"


def main() -> None:
    """Pack each package, take the files named, and put them in their place."""
    for name, facts in json.loads((VENDOR / "versions.json").read_text(encoding="utf-8")).items():
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(["npm", "pack", "--silent", f"{name}@{facts['version']}"], cwd=folder, check=True)
            with tarfile.open(next(Path(folder).glob("*.tgz"))) as packed:
                for source, target in facts["files"].items():
                    found = packed.extractfile(f"package/{source}")
                    if found is None:
                        raise SystemExit(f"{name} {facts['version']} has no {source}")
                    (VENDOR / target).parent.mkdir(parents=True, exist_ok=True)
                    (VENDOR / target).write_bytes(found.read())
                    print(VENDOR / target)


if __name__ == "__main__":
    main()
