"""Text that is no table, or a table meant to fill the memory or to stop the clock: CSV, gzip."""

import gzip
import pickle

from tests.hostile.doors import SENSORS, WIDE, read, refused, sensors, series

MIB = 1 << 20
STAMPS = "2020-01-01,{}\n2020-01-02,{}\n"


def bomb(content: bytes, times: int) -> bytes:
    """`content` many times over, gzipped in as many pieces."""
    return gzip.compress(content) * times


# What is not what it says

for _name, _content, _kind in (
    ("a pickle", pickle.dumps([1]), "a Python pickle"),
    ("a zip", b"PK\x03\x04" + b"\0" * 60, "zip"),
    ("a PDF", b"%PDF-1.7\n1 0 obj\n<< >>\nendobj\n", "PDF"),
    ("a program", b"\x7fELF\x02\x01\x01" + b"\0" * 60, "a program"),
    ("a Windows program", b"MZ\x90\0\x03" + b"\0" * 60, "a program"),
    ("a script", b"#!/bin/sh\nrm -rf ~\n", "a script"),
    ("an Excel sheet", b"PK\x03\x04\x14\0\x06\0[Content_Types].xml", "zip"),
    ("an old Excel sheet", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 60, "old Excel"),
    ("a database", b"SQLite format 3\0" + b"\0" * 60, "SQLite"),
    ("an HTML page", b"<!doctype html><script>alert(1)</script>", "XML or HTML"),
    ("a picture", b"\x89PNG\r\n\x1a\n" + b"\0" * 60, "a picture"),
    ("a photograph", b"\xff\xd8\xff\xe0\0\x10JFIF\0" + b"\0" * 60, "a picture"),
    ("a 7z archive", b"7z\xbc\xaf\x27\x1c" + b"\0" * 60, "an archive"),
    ("an xz archive", b"\xfd7zXZ\0" + b"\0" * 60, "an archive"),
    ("a bzip2 archive", b"BZh91AY&SY" + b"\0" * 60, "an archive"),
    ("a zstd archive", b"\x28\xb5\x2f\xfd" + b"\0" * 60, "an archive"),
    ("an npy array", b"\x93NUMPY\x01\0" + b"\0" * 60, "npy"),
    ("text in UTF-32", "a,b\n1,2\n".encode("utf-32"), "binary data"),
    ("a tape archive", b"a.csv" + b"\0" * 252 + b"ustar\x0000", "binary data"),
):
    refused(f"{_name} named .csv", f"the content is {_kind}", lambda content=_content: series(content))

refused("a VRT of GDAL named .csv", "the content is XML or HTML", lambda: sensors("\ufeff \n<OGRVRTDataSource/>"))
refused("a name without an ending", "files ending in '' are not read", lambda: series(WIDE, "readings"))
refused("a name with two endings", "files ending in '.exe' are not read", lambda: series(WIDE, "r.csv.exe"))
refused("a name with a right-to-left override", "files ending in '.exe'", lambda: series(WIDE, "r\u202evsc.exe"))
refused("a name that climbs out", "passwd: files ending in ''", lambda: series(WIDE, "../../../etc/passwd"))
refused("a name with a terminal's escape", "?[31mx.exe: files ending", lambda: series(WIDE, "\x1b[31mx.exe"))
refused("a name of 100,000 characters", "files ending in '.exe'", lambda: series(WIDE, "x" * 100_000 + ".exe"))
refused("a name with a NUL", "files ending in '.exe'", lambda: series(WIDE, "r.csv\0.exe"))

# Gzip

refused("a gzip bomb of 2 GiB", "r.csv.gz: unpacks to more than", lambda: series(bomb(b"0,1\n" * (4 * MIB), 128), "r.csv.gz"))
refused("a gzip in a gzip", "unpacked, it holds gzip", lambda: series(gzip.compress(bomb(b"0" * MIB, 64)), "r.csv.gz"))
refused("a million empty gzip members", "r.csv.gz: ", lambda: series(gzip.compress(b"") * 500_000, "r.csv.gz"))
refused("a gzipped pickle", "unpacked, it holds a Python pickle", lambda: series(gzip.compress(pickle.dumps(1)), "r.csv.gz"))
refused("a gzipped script", "unpacked, it holds a script", lambda: series(gzip.compress(b"#!/bin/sh\n"), "r.csv.gz"))
refused("a gzip that is cut off", "ends too early", lambda: series(gzip.compress(WIDE)[:-9], "r.csv.gz"))
refused("a gzip with another check sum", "is damaged", lambda: series(gzip.compress(WIDE)[:-8] + b"\0" * 8, "r.csv.gz"))
refused("a gzip of nothing", "the file is empty", lambda: series(gzip.compress(b""), "r.csv.gz"))
read("a gzip whose inner name climbs out", "3 sensors", lambda: series(_named_gzip("../../etc/cron.d/x"), "r.csv.gz"))


def _named_gzip(name: str) -> bytes:
    return gzip.compress(WIDE)[:3] + b"\x08" + gzip.compress(WIDE)[4:10] + name.encode() + b"\0" + gzip.compress(WIDE)[10:]


# Tables meant to fill the memory

_comma = ","
refused("a million columns", "columns; at most", lambda: series("t" + _comma * 1_000_000 + "\n1,2\n"))
refused("thirty million columns", "columns; at most", lambda: series(b"t" + b"," * 30_000_000))
refused("100,000 columns of facts", "columns; at most", lambda: sensors(_row(100_000, "x") + _row(100_000, "1")))
refused("14,000 columns of facts", "columns beside id and place; at most", lambda: sensors(_row(14_000, "x") + _row(14_000, "1")))
refused("12 million rows", "rows; at most", lambda: series(b"t,a\n" + b"1,2\n" * 12_000_000))
refused("one cell of 50 MB", "s.csv", lambda: sensors(b"sensor_id,lat,lon,name\n01,1,2," + b"x" * 50_000_000 + b"\n"))
refused("an id of 5,000 characters", "has 5,000 characters", lambda: sensors("sensor_id,lat,lon\n" + "x" * 5000 + ",1,2\n"))
refused("a column name of 100 kB", "has 100,000 characters", lambda: series("t," + "x" * 100_000 + "\n" + STAMPS.format(1, 2)))
read("a fact of 100 kB", "cut to", lambda: sensors(SENSORS.replace(b"North", b"x" * 100_000)))
refused("quotes that never end", "cannot be told apart", lambda: series(WIDE + b'2020-01-01 03:00,"' + b"1,2\n" * 1_000_000))
refused("a header that never ends its quotes", "r.csv", lambda: series(b'"' + WIDE * 100_000))
refused(
    "wide rows after a narrow header",
    "cells, but the header has",
    lambda: series(WIDE + b"2020-01-01 03:00" + b",1" * 500_000 + b"\n"),
)


def _row(n: int, cell: str) -> str:
    head = "sensor_id,lat,lon" if cell == "x" else "01,1,2"
    return head + "".join(f",{cell}{i}" for i in range(n)) + "\n"


# Tables meant to stop the clock

refused("a number of 130,000 digits and a letter", "is not a number", lambda: series(WIDE.replace(b"6.5", b"1" * 130_000 + b"x")))
read("a number of 5,000 digits after the point", "3 sensors", lambda: series(WIDE.replace(b"6.5", b"6." + b"5" * 5000)))
read("two million empty lines", "3 sensors", lambda: series(WIDE.replace(b",", b";") + b"\n" * 2_000_000))
read(
    "two million blanks before a number",
    "3 sensors",
    lambda: series(WIDE.replace(b",", b";").replace(b"6.5", b" " * 2_000_000 + b"6.5")),
)
refused(
    "a time of 100,000 digits", "is not a time", lambda: series(WIDE.replace(b"2020-01-01 01:00", b"2020-01-01 " + b"1" * 100_000))
)
refused("a time of many zones", "is not a time", lambda: series(WIDE.replace(b"01:00,", b"01:00" + b"+01:00" * 9999 + b",", 1)))
refused("a delimiter that is a pattern", "r.csv", lambda: series(b"sep=]\n" + WIDE.replace(b",", b"]") + b"\n" * 1000))
refused("a delimiter that is a backslash", "r.csv", lambda: series(b"sep=\\\n" + WIDE.replace(b",", b"\\")))
refused("a delimiter that is a quote", "r.csv", lambda: series(b'sep="\n' + WIDE))
refused("1,500 columns with one word", "is not a number", lambda: series(_many(1_500, "x")))
read("1,500 columns", "1,500 sensors", lambda: series(_many(1_500, "7"), sensors=("s.csv", _places(1_500))))


def _many(n: int, last: str) -> bytes:
    head, row = "t," + ",".join(f"s{i}" for i in range(n)), ",".join("1" for _ in range(n - 1)) + ","
    return f"{head}\n2020-01-01,{row}1\n2020-01-02,{row}{last}\n".encode()


def _places(n: int) -> bytes:
    return ("sensor_id,lat,lon\n" + "".join(f"s{i},48,{i / n}\n" for i in range(n))).encode()


def _scattered(n: int) -> bytes:
    """A long table of which every row has a time and a sensor of its own."""
    rows = (f"{1_577_836_800 + 3600 * i},s{i},1\n" for i in range(n))
    return ("timestamp,sensor_id,value\n" + "".join(rows)).encode()


refused(
    "10,000 rows that make 100 million cells",
    "would be empty",
    lambda: series(_scattered(10_000), sensors=("s.csv", _places(10_000))),
)
refused("300,000 sensors without a reading", "sensors; at most", lambda: sensors(_places(300_000)))

# Numbers that are none, or lie

for _cell in ("inf", "-Infinity", "1e39", "-1e400", "0x1F", "1_000", "１２", "1e", "--1", "NaN(7)", "1d3", "١", "∞", "=1+1"):
    refused(f"the reading {_cell}", "is not a number", lambda cell=_cell: series(WIDE.replace(b"6.5", cell.encode())))
refused("a latitude of 1e400", "without a location", lambda: sensors(SENSORS.replace(b"48.1", b"1e400")))
refused("a latitude of inf", "is not a number", lambda: sensors(SENSORS.replace(b"48.1", b"inf")))
refused("a year of 9999", "the year 9999 cannot be right", lambda: series(WIDE.replace(b"2020-01-01 02", b"9999-01-01 02")))
refused("a year of 0000", "r.csv", lambda: series(WIDE.replace(b"2020-01-01 02", b"0000-01-01 02")))
refused(
    "a second since 1970 of 20 digits", "is not a time", lambda: series("t,01\n12345678901234567890,1\n12345678901234567891,2\n")
)
refused("hours that could be seconds", "could be an hour or seconds", lambda: series("t,01\n1999010100,1\n1999010101,2\n"))
refused("25 o'clock", "is not a time", lambda: series(WIDE.replace(b"02:00", b"25:00")))
refused("a time in Arabic digits", "is not a time", lambda: series(WIDE.decode().replace("2020-01-01 02:00", "٢٠٢٠-01-01 02:00")))


def _very_wide() -> dict:
    """8 MB in 200 rows of 19,900 sensors."""
    ids = [f"s{i}" for i in range(19_900)]
    places = "sensor_id,lat,lon\n" + "\n".join(f"{name},48,{11 + i / 1e4:.4f}" for i, name in enumerate(ids))
    rows = [f"2020-01-01 {m // 60:02d}:{m % 60:02d}," + ",".join(str((7 * i + m) % 9) for i in range(len(ids))) for m in range(200)]
    return sensors(places, series=("r.csv", ("timestamp," + ",".join(ids) + "\n" + "\n".join(rows)).encode()))


read("readings of 19,900 sensors in 8 MB", "sensors", _very_wide)
