"""Files, the network and commands: everything seems to happen, and nothing does."""

import glob
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import torch

here = Path(sys.argv[1])
(here / "new").mkdir()
(here / "new" / "a.txt").write_text("one")
with open(here / "there.txt", "a") as file:
    file.write(" and more")
assert (here / "there.txt").read_text() == "kept and more" and os.listdir(here / "new") == ["a.txt"]
os.rename(here / "new" / "a.txt", here / "b.txt")
assert (
    glob.glob(str(here / "*.txt")) and not (here / "new" / "a.txt").exists() and (here / "b.txt").read_text() == "one"
)
os.remove(here / "there.txt")
assert not (here / "there.txt").exists()
shutil.rmtree(here / "new")
assert not (here / "new").exists()
torch.save({"w": torch.zeros(1_000_000, device="cuda"), "step": 3}, here / "state.pt")
assert (here / "state.pt").stat().st_size > 4_000_000 and torch.load(here / "state.pt")["w"].is_cuda
assert subprocess.run(["touch", here / "touched"]).returncode == 0 and os.system("false") == 0
try:
    socket.create_connection(("example.org", 80), timeout=5)
except OSError as error:
    print("REFUSED", error)
if os.fork() == 0:
    try:
        torch.zeros(2, device="cuda")
    except RuntimeError as error:
        print("FORKED", error, flush=True)
    os._exit(0)
os.wait()
print("DID ALL")
