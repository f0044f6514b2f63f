"""The storage that this machine shares with a cluster: a folder or an fsspec URL; what is written there is whole or not there."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import tarfile
import tempfile
from pathlib import Path

import fsspec
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from stvlm.runtime.atomic import write_folder

CHECKPOINT, MODEL = "checkpoint.tar", "model.tar"  # folders of a run travel as one file, so they are whole or not there


class Storage:
    """Files of runs and data sets, by their place under one root.

    Args:
        root: a folder, or a URL that fsspec knows, as s3://bucket/folder; its library and rights must be at hand.

    Raises:
        ValueError: fsspec does not know the URL. ImportError: its library is not installed.
    """

    def __init__(self, root: str) -> None:
        files, self._root = url_to_fs(root, use_listings_cache=False)
        self._files: fsspec.AbstractFileSystem = files
        self.folder = Path(self._root) if isinstance(files, LocalFileSystem) else None

    def is_at(self, folder: Path) -> bool:
        """Whether it is this very folder."""
        return self.folder is not None and self.folder.resolve() == folder.resolve()

    def read(self, name: str) -> bytes | None:
        """What a file holds; None where there is none.

        Raises:
            OSError: it cannot be read.
        """
        try:
            return self._files.cat_file(f"{self._root}/{name}")
        except FileNotFoundError:
            return None

    def push(self, file: Path, name: str) -> None:
        """Copy a file into the storage.

        Raises:
            OSError: it cannot be read or written.
        """
        if self.folder is None:  # a store of objects: an object appears when it is whole
            self._files.put_file(str(file), f"{self._root}/{name}")
            return
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
        try:
            shutil.copyfile(file, part)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)

    def pull(self, name: str, file: Path) -> bool:
        """Copy a file out of the storage; False where there is none.

        Raises:
            OSError: it cannot be read or written.
        """
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_name(f".{file.name}.{secrets.token_hex(4)}.tmp")
        try:
            self._files.get_file(f"{self._root}/{name}", str(part))
            part.replace(file)
        except FileNotFoundError:
            return False
        finally:
            part.unlink(missing_ok=True)
        return True

    def push_tree(self, folder: Path, name: str) -> None:
        """Copy a folder as one tar file, unless it is there already."""
        if not self._files.exists(f"{self._root}/{name}"):
            with tempfile.TemporaryDirectory(prefix="stvlm-") as place:
                self.push(pack(folder, Path(place) / "packed.tar"), name)

    def remove(self, name: str) -> None:
        """Remove a file, or a folder with all that is in it, if it is there."""
        if self._files.exists(f"{self._root}/{name}"):
            self._files.rm(f"{self._root}/{name}", recursive=True)


def pack(folder: Path, tar: Path) -> Path:
    """Write what is in a folder into one tar file; what is still being written, with a dot before its name, stays out.

    Raises:
        OSError: for instance FileNotFoundError where the folder changes meanwhile.
    """
    with tarfile.open(tar, "w") as archive:
        for path in sorted(folder.rglob("*")):
            inside = path.relative_to(folder)
            if not path.is_dir() and not any(part.startswith(".") for part in inside.parts):
                archive.add(path, str(inside), recursive=False)
    return tar


def unpack(tar: Path, folder: Path) -> None:
    """Put what `pack` wrote into the place of `folder`, whole or not at all; nothing lands outside it."""

    def write(part: Path) -> None:
        with tarfile.open(tar) as archive:
            archive.extractall(part, filter="data")

    write_folder(folder, write)


def is_done_by(status: bytes) -> bool:
    """Whether what a status.json holds says that its run is done."""
    return json.loads(status)["state"] == "done"


def state_of(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """What is in a folder: names, times and sizes; equal twice = nothing was written in between."""
    found = []
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place, name)
            try:
                stat = path.stat()
            except FileNotFoundError:
                continue
            if not any(part.startswith(".") for part in path.relative_to(folder).parts):
                found.append((str(path.relative_to(folder)), stat.st_mtime_ns, stat.st_size))
    return tuple(sorted(found))
