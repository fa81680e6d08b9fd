"""Files, the network and commands: everything seems to happen, and nothing does."""

import ctypes
import bz2
import glob
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file

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
with bz2.open(here / "a.bz2", "wt") as file:
    file.write("packed")
with tarfile.open(here / "a.tar", "w") as file:
    file.add(here / "a.bz2", "a.bz2")
assert bz2.open(here / "a.bz2", "rt").read() == "packed" and tarfile.open(here / "a.tar").getnames() == ["a.bz2"]
os.remove(here / "there.txt")
assert not (here / "there.txt").exists()
shutil.rmtree(here / "new")
assert not (here / "new").exists()
torch.save({"w": torch.zeros(1_000_000, device="cuda"), "step": 3}, here / "state.pt")
assert (here / "state.pt").stat().st_size > 4_000_000 and torch.load(here / "state.pt")["w"].is_cuda
assert subprocess.run(["touch", here / "touched"]).returncode == 0 and os.system("false") == 0
# Folders that were there before, by open folders; compiled code, and whatever else starts a program.
shutil.rmtree(here / "tree")
assert not (here / "tree").exists()
folder = os.open(here, os.O_RDONLY)
os.close(os.open("beside.txt", os.O_CREAT | os.O_WRONLY, dir_fd=folder))
assert (here / "beside.txt").exists()
base = sqlite3.connect(here / "rows.db")
base.execute("create table rows(number)")
base.commit()
np.save(here / "x.npy", np.zeros(3))
save_file({"a": np.zeros(3)}, here / "x.safetensors")
with tarfile.open(here / "x.tar", "w") as packed:
    packed.add(here / "x.npy", "x.npy")
os.mkfifo(here / "pipe")
os.popen(f"touch {here}/popen.txt").read()
os.waitpid(os.posix_spawn("/bin/touch", ["touch", str(here / "spawned.txt")], os.environ), 0)
os.spawnv(os.P_WAIT, "/bin/touch", ["touch", str(here / "forked.txt")])
ctypes.CDLL(None).system(f"touch {here}/compiled.txt 2>/dev/null".encode())
try:
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("192.0.2.1", 53))
except OSError as error:
    print("UNSENT", error)
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
