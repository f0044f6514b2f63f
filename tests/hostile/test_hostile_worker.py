"""Binary and large uploads are read in a process of their own: the same tables come back, and what breaks there breaks nothing here."""

import gzip
import json
import time

import pandas as pd
import pytest

from stvlm.io.columns import read_header
from stvlm.io.read import InputFiles, read_tables
from stvlm.io.sandbox import look_at_header, read_uploads
from stvlm.io.source import InputError
from tests.hostile.arrays import _packed_bomb, instead
from tests.hostile.doors import SENSORS
from tests.hostile.layers import HEAD, LINE, grid, shapes

CONTEXT = b"time,rain,event\n2020-01-01 00:00,1.5,crash\n2020-01-01 01:00,,\n"


def parquet() -> bytes:
    times = pd.date_range("2020-01-01", periods=3, freq="h", name="timestamp")
    return pd.DataFrame({"01": [1.0, 2, 3], "02": [4, None, 6], "NA": [7.0, 8, 9]}, index=times).to_parquet()


def test_what_is_read_apart_is_what_is_read_here():
    files = {"sensors": ("s.csv", SENSORS), "series": ("r.parquet", parquet()), "context": ("c.csv", CONTEXT)}
    files |= (
        {"adjacency": ("a.csv", b"from,to,weight\n01,02,0.5\n")} | shapes(LINE) | grid(HEAD, "1 -9999 3 4") | {"grid_unit": "m"}
    )
    here, apart = read_tables(InputFiles(**files)), read_uploads(InputFiles(**files))
    for name in ("sensors", "readings", "adjacency", "context"):
        pd.testing.assert_frame_equal(getattr(apart, name), getattr(here, name))
    assert (apart.names, apart.notes, apart.timezone, apart.zoned) == (here.names, here.notes, here.timezone, here.zoned)
    assert apart.base_layer.fingerprint == here.base_layer.fingerprint


def test_a_bomb_in_a_library_ends_in_one_line_and_harms_nobody():
    files = {"sensors": ("s.csv", SENSORS)} | instead("block0_values", _packed_bomb)
    with pytest.raises(InputError, match=r"r\.h5: (damaged HDF5|could not be read within 1\.5 GiB)"):
        read_uploads(InputFiles(**files), most_bytes=3 << 29)


def test_a_reading_that_takes_too_long_is_ended():
    started = time.monotonic()
    with pytest.raises(InputError, match=r"r\.parquet: could not be read within 3 GiB and 0\.05 s; it is damaged or too large"):
        read_uploads(InputFiles(("s.csv", SENSORS), ("r.parquet", parquet())), seconds=0.05)
    assert time.monotonic() - started < 30


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("r.csv", b"timestamp,01,02,NA\n" + b"2020-01-01 00:00,1,2,3\n" * 50_000),
        ("r.csv.gz", gzip.compress(b"timestamp,01,02,NA\n2020-01-01 00:00,1,2,3\n")),
        ("r.npz", b"PK\x05\x06" + bytes(18)),
    ],
    ids=("large", "gzip", "npz"),  # a gzip holds the time, and the workers of a test run must name a test alike
)
def test_what_is_large_or_packed_is_read_apart_too(name, content):
    with pytest.raises(InputError, match=r"could not be read within 3 GiB and 0\.01 s"):
        read_uploads(InputFiles(("s.csv", SENSORS), (name, content)), seconds=0.01)


def test_the_columns_of_a_binary_file_are_looked_up_apart_too():
    given = ("r.parquet", parquet())
    assert look_at_header(given, "series") == read_header(given, "series")
    with pytest.raises(InputError, match=r"r\.parquet, header: no column 'x' for timestamp"):
        look_at_header(given, "series", {"timestamp": "x"})
    with pytest.raises(InputError, match=r"r\.parquet: could not be read within 3 GiB and 0\.05 s"):
        look_at_header(given, "series", seconds=0.05)
    assert look_at_header(("r.h5", b"\x89HDF\r\n\x1a\n"), "series") is None


def test_small_texts_are_read_here_and_other_errors_keep_their_words():
    with pytest.raises(InputError, match=r"r\.csv: the file is empty"):
        read_uploads(InputFiles(("s.csv", SENSORS), ("r.csv", b""), columns=json.loads("{}")))
