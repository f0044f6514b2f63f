"""Array files that reach for other files, run code, or hold far more than they weigh: HDF5 and npz."""

import io
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable

import h5py
import numpy as np

from tests.hostile.doors import read, refused, series

HOURS = (np.arange(3) * 3600 + 1577836800) * 10**9


def h5(change: Callable | None = None, **more) -> dict:
    """A table as pandas writes it, changed: `change(file, group)`."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as stored:
        group = stored.create_group("df")
        group["axis0"] = group["block0_items"] = np.array([b"01", b"02", b"NA"])
        group["axis1"], group["block0_values"] = HOURS, np.arange(9.0).reshape(3, 3)
        if change:
            change(stored, group)
    return series(buffer.getvalue(), "r.h5") | more


def instead(key: str, make: Callable) -> dict:
    """The table with another member: `make(group)` creates it under its name."""

    def change(_, group):
        del group[key]
        made = make(group)
        if made is not None:
            group[key] = made

    return h5(change)


def _virtual(group):
    layout = h5py.VirtualLayout((3, 3), "f8")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (3, 3))
    group.create_virtual_dataset("block0_values", layout)


def _pickled(group):
    group.create_dataset("block0_values", (1,), h5py.vlen_dtype("uint8"))[0] = np.frombuffer(pickle.dumps(print), "uint8")


def _packed_bomb(group):
    data = group.create_dataset("block0_values", (3, 3), "f8", chunks=(3, 3), compression="gzip", maxshape=(None, None))
    packer = zlib.compressobj(9)
    first, again = (packer.compress(bytes(1 << 24)) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    data.id.write_direct_chunk((0, 0), first + again * 200)  # 3 MB that become 3.3 GB


def _wide_pieces(group):
    group.create_dataset("block0_values", (3, 3), "f8", maxshape=(None, None), chunks=(20000, 20000), compression="gzip")


def _many_blocks(_, group):
    group.create_dataset("big", (100_000, 100), "f4", data=np.ones((100_000, 100), "f4"), compression="gzip")
    del group["axis1"], group["block0_values"]
    group["axis1"] = np.arange(100_000) * 3600 * 10**9
    for i in range(190):
        group[f"block{i}_values"] = group["big"]


def _repeated_texts(group):
    data = group.create_dataset("block0_items", (3,), h5py.string_dtype())
    data[:] = ["x" * 3_000_000, "b", "c"]


read("an honest h5", "3 sensors", h5)
refused(
    "h5: external storage",
    "its numbers lie in another file",
    lambda: instead(
        "block0_values", lambda g: g.create_dataset("block0_values", (3, 3), "f8", external=[("/etc/passwd", 0, 72)]) and None
    ),
)
refused("h5: a virtual array", "its numbers lie in another file", lambda: instead("block0_values", _virtual))
refused("h5: a soft link", "is a link", lambda: instead("block0_values", lambda _: h5py.SoftLink("/df/axis1")))
refused("h5: an external link", "is a link", lambda: instead("block0_values", lambda _: h5py.ExternalLink("/etc/passwd", "/x")))
refused(
    "h5: an external link for the times", "is a link", lambda: instead("axis1", lambda _: h5py.ExternalLink("/etc/passwd", "/x"))
)
refused(
    "h5: an external link for the ids",
    "is a link",
    lambda: instead("block0_items", lambda _: h5py.ExternalLink("/etc/passwd", "/x")),
)
refused(
    "h5: an external link at the root",
    "is a link",
    lambda: h5(lambda f, _: f.__setitem__("a", h5py.ExternalLink("/etc/passwd", "/"))),
)
refused("h5: a link to itself", "is a link", lambda: h5(lambda f, _: f.__setitem__("a", h5py.SoftLink("/a"))))
refused("h5: a group within itself", "is no array", lambda: instead("block0_values", lambda g: g))
refused("h5: pickled cells", "is pickled, which can run code", lambda: instead("block0_values", _pickled))
refused("h5: pickled times", "axis1: holds no times but", lambda: h5(lambda _, g: g["axis1"].attrs.__setitem__("kind", b"object")))
refused("h5: parts of records", "is pickled", lambda: instead("block0_values", lambda _: np.zeros(3, [("a", "f8"), ("b", "i4")])))
refused(
    "h5: references instead of numbers",
    "is pickled",
    lambda: instead("block0_values", lambda g: g.create_dataset("block0_values", (3, 3), h5py.ref_dtype) and None),
)
refused(
    "h5: a thousand million numbers never written",
    "numbers are too many",
    lambda: instead(
        "block0_values", lambda g: g.create_dataset("block0_values", (10**6, 10**3), "f8", chunks=(1000, 1000)) and None
    ),
)
refused(
    "h5: ten million numbers never written",
    "hardly holds any",
    lambda: instead("block0_values", lambda g: g.create_dataset("block0_values", (10**5, 100), "f8", chunks=(1000, 100)) and None),
)
refused("h5: pieces of 3 GB", "is stored in pieces of 3,051 MiB", lambda: instead("block0_values", _wide_pieces))
refused("h5: a piece that unpacks to 3 GB", "damaged HDF5", lambda: instead("block0_values", _packed_bomb))
refused("h5: 190 blocks that are one", "cells. Split the file", lambda: h5(_many_blocks))
refused(
    "h5: 3,000 links to one group",
    "parts instead of one table",
    lambda: h5(lambda f, g: [f.__setitem__(f"a{i}", g) for i in range(3000)] and None),
)
refused("h5: an id of 3 MB", "an id has 3,000,000 characters", lambda: instead("block0_items", _repeated_texts))
refused(
    "h5: ids of 60,000 characters", "an id has 2,000 characters", lambda: instead("block0_items", lambda _: np.zeros(3, "S60000"))
)
refused(
    "h5: infinite readings",
    "1 readings are infinite",
    lambda: instead("block0_values", lambda _: np.array([[1, 2, np.inf]] * 1 + [[1, 2, 3]] * 2)),
)
refused(
    "h5: readings beyond float32",
    "3 readings are infinite or too large",
    lambda: instead("block0_values", lambda _: np.array([[1e39, 2, 3]] * 3)),
)
refused("h5: times beyond all years", "cannot be right", lambda: instead("axis1", lambda _: np.array([2**63 - 1, 0, -(2**63)])))
refused("h5: a filter of somebody else", "r.h5", lambda: h5(_foreign_filter))
refused("h5: two dimensions of ids", "must name the sensors", lambda: instead("axis0", lambda _: np.array([[b"a", b"b"]])))
refused(
    "h5: the same ids thrice",
    "stands there twice",
    lambda: h5(lambda _, g: [g.__setitem__(f"block1_{k}", g[f"block0_{k}"]) for k in ("values", "items")] and None),
)
refused("h5: a head without a body", "damaged HDF5", lambda: series(h5()["series"][1][:400], "r.h5"))
refused(
    "h5: a head that points far out", "r.h5", lambda: series(h5()["series"][1][:40] + b"\xff" * 16 + h5()["series"][1][56:], "r.h5")
)


def _foreign_filter(_, group):
    del group["block0_values"]
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk((3, 3))
    plist.set_filter(32123, h5py.h5z.FLAG_OPTIONAL, (1, 2, 3))
    space = h5py.h5s.create_simple((3, 3))
    made = h5py.h5d.create(group.id, b"block0_values", h5py.h5t.IEEE_F64LE, space, plist)
    made.write_direct_chunk((0, 0), b"\0" * 72)


# npz


def header(text: str, version: tuple = (1, 0)) -> bytes:
    """The head of an .npy whose description is any text."""
    packed = text.encode().ljust(118) + b"\n"
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H" if version == (1, 0) else "<I", len(packed)) + packed


def npy(shape: str, kind: str = "'<f8'") -> bytes:
    """The head of an array of this shape."""
    return header(f"{{'descr': {kind}, 'fortran_order': False, 'shape': {shape}}}")


def archive(content: bytes, name: str = "data.npy", how: int = zipfile.ZIP_STORED) -> bytes:
    """A zip with one member."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", how) as opened:
        opened.writestr(name, content)
    return buffer.getvalue()


def npz(content: bytes, **more) -> dict:
    """An upload of an .npz with start and step."""
    return series(content, "r.npz", **({"start": "2020-01-01", "step_minutes": 5.0} | more))


def saved(values: np.ndarray, **more) -> dict:
    """An upload of this array."""
    buffer = io.BytesIO()
    np.savez(buffer, data=values)
    return npz(buffer.getvalue(), **more)


def many_members(n: int) -> bytes:
    """A zip that lists n empty members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as opened:
        for i in range(n):
            opened.writestr(f"{i}.npy", b"")
    return buffer.getvalue()


OK = np.arange(9.0).reshape(3, 3)
read("an honest npz", "3 sensors", lambda: saved(OK))
read("npz: members that climb out", "3 sensors", lambda: npz(_beside("../../../tmp/x.txt", "/etc/cron.d/x")))
refused("npz: pickled objects", "pickled objects, which can run code", lambda: saved(np.array([[{}] * 3] * 3, dtype=object)))
refused("npz: a pickle as the array", "damaged .npz", lambda: npz(archive(pickle.dumps(print))))
refused("npz: records", "instead of numbers", lambda: saved(np.zeros((3, 3), [("a", "f8")])))
refused("npz: texts", "instead of numbers", lambda: saved(np.array([["1", "2", "3"]] * 3)))
refused("npz: complex numbers", "instead of numbers", lambda: saved(np.zeros((3, 3), complex)))
refused("npz: more than it holds", "holds fewer numbers", lambda: npz(archive(npy("(1000000, 1000000)"))))
refused("npz: a negative length", "must be times x sensors", lambda: npz(archive(npy("(-1, -1)") + b"\0" * 72)))
refused("npz: nothing, very wide", "must be times x sensors", lambda: npz(archive(npy(f"(0, {10**30})"))))
refused("npz: a length that is a truth value", "must be times x sensors", lambda: npz(archive(npy("(True, 3)") + b"\0" * 24)))
refused("npz: no dimension", "must be times x sensors", lambda: npz(archive(npy("()") + b"\0" * 8)))
refused("npz: 60 dimensions", "must be times x sensors", lambda: npz(archive(npy("(" + "1," * 25 + ")") + b"\0" * 8)))
refused("npz: a head that is a program", "damaged .npz", lambda: npz(archive(header("__import__('os').system('id')"))))
refused("npz: a head of 9,000 brackets", "damaged .npz", lambda: npz(archive(header("(" * 9000, (2, 0)))))
refused("npz: a head of 9,000 signs", "damaged .npz", lambda: npz(archive(header("-" * 9000 + "1", (2, 0)))))
refused("npz: a head of 4 GB", "damaged .npz", lambda: npz(archive(b"\x93NUMPY\x02\x00\xff\xff\xff\xff")))
refused("npz: an unknown version", "damaged .npz", lambda: npz(archive(header("{}", (9, 9)))))
refused("npz: a bomb of deflate", "unpacks to more than", lambda: npz(_zipped(2 << 30)))
refused(
    "npz: a bomb of bzip2",
    "is packed in an unusual way",
    lambda: npz(archive(npy("(3, 3)") + bytes(4 << 20), how=zipfile.ZIP_BZIP2)),
)
refused(
    "npz: a bomb of lzma", "is packed in an unusual way", lambda: npz(archive(npy("(3, 3)") + bytes(4 << 20), how=zipfile.ZIP_LZMA))
)
refused("npz: 2,000 members", "holds more than 200 arrays", lambda: npz(many_members(2000)))
refused("npz: a zip of zips", "holds no array named 'data'", lambda: npz(archive(archive(npy("(3, 3)")), "x.zip")))
refused("npz: two arrays of one name", "r.npz", lambda: npz(_twins()))
refused("npz: with a password", "damaged .npz", lambda: npz(_locked()))
refused(
    "npz: another check sum",
    "damaged .npz",
    lambda: npz(saved(OK)["series"][1].replace(np.float64(8).tobytes(), np.float64(9).tobytes())),
)
refused("npz: an Excel sheet", "holds no array named 'data'", lambda: npz(archive(b"<xml/>", "xl/workbook.xml")))
refused("npz: infinite readings", "1 readings are infinite", lambda: saved(np.where(OK == 8, np.inf, OK)))
refused("npz: a step of nothing", "Give the start and the minutes", lambda: saved(OK, step_minutes=float("nan")))
refused("npz: a step of a microsecond", "Give the start and the minutes", lambda: saved(OK, step_minutes=1e-6))
refused("npz: a step of a thousand years", "Give the start and the minutes", lambda: saved(OK, step_minutes=5e8))
refused("npz: readings until the year 9000", "cannot be right", lambda: saved(np.ones((9000, 3)), step_minutes=500_000.0))
refused("npz: a start that is none", "is not a time", lambda: saved(OK, start="__import__('os')"))


def _beside(*names: str) -> bytes:
    buffer = io.BytesIO(saved(OK)["series"][1])
    with zipfile.ZipFile(buffer, "a") as opened:
        for name in names:
            opened.writestr(name, b"x")
    return buffer.getvalue()


def _twins() -> bytes:
    buffer = io.BytesIO(saved(OK)["series"][1])
    with zipfile.ZipFile(buffer, "a") as opened:
        opened.writestr("data.npy", pickle.dumps(print))
    return buffer.getvalue()


def _locked() -> bytes:
    content = bytearray(saved(OK)["series"][1])
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.find(mark) + place] |= 1
    return bytes(content)


def _zipped(size: int) -> bytes:
    """A small member that says it unpacks to `size`."""
    content = bytearray(archive(npy("(3, 3)") + bytes(72), how=zipfile.ZIP_DEFLATED))
    struct.pack_into("<I", content, content.find(b"PK\x01\x02") + 24, size)
    return bytes(content)
