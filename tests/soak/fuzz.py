"""Good files of every format, mutated at random: whatever ends otherwise than in a table or an `InputError` is a finding.

    python -m tests.soak.fuzz --minutes 10 --out findings

Files are read in a process of their own with limited memory; one that a file brings down is started again behind it, and the file is kept.
"""

from __future__ import annotations

import argparse
import collections
import gzip
import io
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qsl

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from stvlm.core.windows import Window
from stvlm.datasets import synthetic_city
from stvlm.evaluation.result_files import ablation_table, read_result, score_tables, sensor_gap
from stvlm.inference.predict import predict
from stvlm.io.read import InputFiles, read_tables
from stvlm.io.source import InputError
from stvlm.io.write import table_latex
from stvlm.modalities.text.facts import Standout
from stvlm.modalities.text.template import DEFAULT_TEMPLATE, TemplateError, render_template
from stvlm.model.stvlm import STVLM
from stvlm.quality import report
from stvlm.training.zero_shot import zero_shot
from stvlm.ui.shell import view_state
from tests.support.pages import start, visit

MOST_BYTES, SLOW = 3 << 30, 10.0  # of memory; seconds of the processor for one file
IDS = ("01", "02", "NA")
SENSORS = b"sensor_id,lat,lon,name,lanes\n01,48.1,11.5,North,3\n02,48.2,11.6,S\xc3\xbcd,2\nNA,48.3,11.7,East,\n"
WIDE = b"timestamp,01,02,NA\n2020-01-01 00:00,1,2,3\n2020-01-01 01:00,4,,6.5\n2020-01-01 02:00,7,8,9\n"
LONG = b"timestamp;sensor_id;value\n" + b"".join(f"2020-01-0{d}T00:00+01:00;{i};{d},5\n".encode() for d in (1, 2, 3) for i in IDS)
WORDS = (
    b",", b";", b"\n", b"\r\n", b'"', b"-", b".", b"\0", b"\xff", b"\t", b"1e400", b"nan", b"inf", b"9" * 400, b"2020-02-30", b"0001-01-01",
    b"+99:99", b"{", b"}", b"[", b"]", b":", b"null", b"true", b"\\ud800", "\u202e".encode(), "e\u0301".encode(), b"{{", b"{%", b"%}",
    b"|join", b"\xff\xff\xff\x7f", b"\x00\x00\x00\x80", b"PAR1", b"PK\x01\x02", b"\x89HDF", b"ncols", b"-9999", b"EPSG:3857",
    b"coordinates",
)  # fmt: skip


EXPRESSIONS = """\
note: {{ highest[0].name|upper }}{{ highest|join(', ', attribute='text') }}{{ context[:2]|join('; ') }}
{{ 'x' if n_sensors is even else 'y' }}{{ nothing|default('none', true) }}{{ (place + unit)|title|length }}
{% for a in events if a != 'b' %}{% for b in highest %}{{ loop.index + loop.length }}{% else %}-{% endfor %}{% endfor %}
{{ ('12'|int(0, 16) - 3.5) / -n_sensors|abs }}{{ horizon|float|round(2) }}
{% if 'a' in place and not (horizon >= 3 or level is none) %}{{ lowest|last }}{% elif movers|first is defined %}{{ place[::-1] }}{% endif %}
"""
ADDRESS = (
    b"data=sample:irish_wind&sensor=MAL&cutoff=300&step=2&model=zero-shot&channel=field&alarm=above 12 80&place=53.1,-7.2&lang=de"
    b'&source=own&measure=mean&reading=template&group=MAL,CLO&other=300&change={"event":"x"}'
)
ADDRESSED = ("home", "data", "forecast", "fusion", "images", "prompts", "whatif", "compare", "train", "learn")
PARAMETERS = ("data", "lang", *view_state.NETWORK_PARAMS)
WINDOW = Window(synthetic_city.city(n_sensors=8, n_days=2), 80, 6, 3)
EXTREMES = ("highest", "lowest", "movers")


def seeds() -> dict[str, tuple[str, str, bytes]]:
    """Name -> (role, file name, content) of the good files."""
    place = {"type": "Point", "coordinates": [11.5, 48.1]}
    feature = {"type": "Feature", "geometry": place, "properties": {"sensor_id": "01", "lanes": 2}}
    points = {"type": "FeatureCollection", "features": [feature, *(feature | {"properties": {"sensor_id": i}} for i in IDS[1:])]}
    ring = [[11, 48], [12, 48], [12, 49], [11, 48]]
    shapes = [{"type": "LineString", "coordinates": ring}, {"type": "MultiPolygon", "coordinates": [[ring]]}]
    layer = {"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": shape} for shape in shapes]}
    row = {"model": "m", "mae": 1.0, "rmse": 2.0, "mae_per_step": [1.0, 1.0], "mae_per_sensor": [1.0, 2.0]}
    result = {"title": "t", "lookback": 2, "horizon": 2, "windows": {"train": 1, "val": 1, "test": 1}, "scores": [row]}
    return {
        "sensors as CSV": ("sensors", "s.csv", SENSORS),
        "sensors as GeoJSON": ("sensors", "s.geojson", json.dumps(points).encode()),
        "sensors as GeoParquet": ("sensors", "s.parquet", _geoparquet()),
        "readings, wide": ("series", "r.csv", WIDE),
        "readings, long": ("series", "r.csv", LONG),
        "readings, gzipped": ("series", "r.csv.gz", gzip.compress(WIDE, mtime=0)),
        "readings as Parquet": ("series", "r.parquet", _parquet()),
        "readings as HDF5": ("series", "r.h5", _h5()),
        "readings as npz": ("series", "r.npz", _npz()),
        "links": ("adjacency", "a.csv", b"from,to,distance\n01,02,1.5\n02,NA,3\n"),
        "links as a matrix": ("adjacency", "a.csv", b",01,02,NA\n01,0,1,0\n02,0,0,.5\nNA,0,0,0\n"),
        "context": ("context", "c.csv", b"date,rain_mm,incident\n2020-01-01,1.5,\n2020-01-02,0,crash near North\n"),
        "base layer": ("base_layer", "b.geojson", json.dumps(layer).encode()),
        "grid": ("grid", "g.asc", b"ncols 2\nnrows 2\nxllcorner 11\nyllcorner 48\ncellsize 1\nNODATA_value -9999\n1 2\n3 -9999\n"),
        "result": ("result", "x.json", json.dumps(result).encode()),
        "template": ("template", "template", DEFAULT_TEMPLATE.encode()),
        "template of expressions": ("template", "template", EXPRESSIONS.encode()),
        "model folder": ("model", "config.json", b""),
        "address": ("address", "address", ADDRESS),
    }


def _bytes_of(write: Callable) -> bytes:
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


def _parquet() -> bytes:
    times = pd.date_range("2020-01-01", periods=3, freq="h", tz="Europe/Berlin", name="timestamp")
    frame = pd.DataFrame({"01": [1.0, 2, 3], "02": [4, None, 6], "NA": ["7", "8", "9"]}, index=times)
    return _bytes_of(frame.to_parquet)


def _geoparquet() -> bytes:
    shapes = [b"\x01\x01\x00\x00\x00" + np.array(place, "<f8").tobytes() for place in ((11.5, 48.1), (11.6, 48.2), (11.7, 48.3))]
    about = {"version": "1.0.0", "primary_column": "geometry", "columns": {"geometry": {"encoding": "WKB"}}}
    table = pa.table({"sensor_id": list(IDS), "geometry": shapes}).replace_schema_metadata({b"geo": json.dumps(about).encode()})
    return _bytes_of(lambda buffer: pq.write_table(table, buffer))


def _h5() -> bytes:
    def write(buffer: io.BytesIO) -> None:
        with h5py.File(buffer, "w") as stored:
            group = stored.create_group("df")
            group["axis0"] = group["block0_items"] = np.array([b"01", b"02", b"NA"])
            group["axis1"] = (np.arange(3) * 3600 + 1577836800) * 10**9
            group.create_dataset("block0_values", data=np.arange(9.0).reshape(3, 3), chunks=(3, 3), compression="gzip")

    return _bytes_of(write)


def _npz() -> bytes:
    return _bytes_of(lambda buffer: np.savez_compressed(buffer, data=np.arange(9.0).reshape(3, 3)))


def mutated(content: bytes, chance: random.Random) -> bytes:
    """The content after one to six changes: a bit, a word, a piece left out, repeated or moved, an end cut off."""
    data = bytearray(content)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 6))):
        if not data:
            break
        start = chance.randrange(len(data))
        stop = min(len(data), start + chance.choice((1, 2, 4, 8, 40)))
        match chance.randrange(8):
            case 0:
                data[start] ^= 1 << chance.randrange(8)
            case 1:
                data[start] = chance.choice((0, 1, 127, 128, 255))
            case 2:
                data[start:start] = chance.choice(WORDS)
            case 3:
                data[start:stop] = chance.choice(WORDS)
            case 4:
                del data[start:stop]
            case 5:
                data[start:start] = data[start:stop] * chance.choice((1, 2, 300))
            case 6:
                place = chance.randrange(len(data))
                data[place:place] = data[start:stop]
            case 7:
                del data[max(start, len(data) // 2) :]
    return bytes(data)


def read(role: str, name: str, content: bytes) -> None:
    """Read one file the way that the app does."""
    if role == "result":
        found = read_result(name, content)
        table_latex(score_tables((found,)))
        table_latex(ablation_table(found))
        with suppress(ValueError):  # rows without errors by sensor
            sensor_gap(found, found.scores[0]["model"], found.scores[-1]["model"])
    elif role == "template":
        words = "place width height quantity unit moment season holiday level level_age lookback trend spread missing step"
        highest = [Standout(i, f"Gate {i}", "north", 1.0, f"{i} m") for i in IDS]
        facts = dict.fromkeys(words.split(), "x") | {word: ["a", "b"] for word in ("events", "context", "ahead")}
        facts |= dict.fromkeys(EXTREMES, highest) | dict.fromkeys(("n_sensors", "horizon"), 3)
        try:
            render_template(content.decode("utf-8", "replace"), facts)
        except TemplateError as error:
            raise InputError(str(error)) from None
    elif role == "model":
        try:
            predict(STVLM.load(Path(name)), WINDOW)
        except ValueError as error:
            raise InputError(str(error).replace("\n", " ")[:400]) from None
    elif role == "address":
        query = dict(parse_qsl(content.decode("utf-8", "replace")))
        page = ADDRESSED[sum(content) % len(ADDRESSED)]
        visit(start(), page, **{key: value for key, value in query.items() if key in PARAMETERS})
    else:
        given = {"sensors": ("s.csv", SENSORS), "series": ("r.csv", WIDE)} | {role: (name, content)}
        raw = read_tables(InputFiles(**given, start="2020-01-01", step_minutes=60.0))
        report.inspect(raw)
        report.to_series(raw).fingerprint.encode()


def harm_model(good: Path, chance: random.Random) -> tuple[str, bytes]:
    """A copy of a model folder of which one file is mutated: the folder, and what the file holds."""
    folder = Path(shutil.copytree(good, good.with_name("harmed"), dirs_exist_ok=True))
    file = chance.choice(sorted(path for path in folder.rglob("*") if path.is_file()))
    content = mutated(file.read_bytes(), chance)
    file.write_bytes(content)
    return str(folder), content


def child(folder: Path, seed: int, seconds: float) -> None:
    """Read mutated files until the time is over; each lies in the folder while it is read."""
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    chance, files, counts = random.Random(seed), seeds(), collections.Counter()
    os.environ["STVLM_HOME"] = tempfile.mkdtemp(prefix="stvlm-fuzz-")
    model = Path(os.environ["STVLM_HOME"]) / "model"
    zero_shot(WINDOW.series, 60, WINDOW.lookback, WINDOW.horizon).save(model, {})
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        title = chance.choice(sorted(files))
        role, name, content = files[title]
        if role == "address" and chance.random() < 0.7:
            continue  # a visit takes a second
        if role == "model":
            name, content = harm_model(model, chance)
        elif name.endswith(".gz") and chance.random() < 0.5:
            content = gzip.compress(mutated(gzip.decompress(content), chance))
        else:
            content = mutated(content, chance)
        (folder / "now").write_bytes(content)
        (folder / "now.json").write_text(json.dumps([title, name]))
        signal.alarm(120)  # what hangs is ended
        started = time.process_time()
        try:
            read(role, name, content)
            outcome = "read"
        except InputError as error:
            outcome = (
                "refused" if all(line.isprintable() and len(line) < 500 for line in error.problems) else "a refusal not fit to show"
            )
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            outcome = f"{type(error).__name__} in {Path(where.filename).name}:{where.lineno}"
        finally:
            signal.alarm(0)
        if time.process_time() - started > SLOW:
            outcome = "slow"
        if outcome not in ("read", "refused"):
            (folder / f"{len(list(folder.iterdir()))}-{Path(name).name}").write_bytes(content)
        counts[f"{title}: {outcome}"] += 1
        if sum(counts.values()) % 50 == 0 or outcome not in ("read", "refused"):
            (folder / f"counts-{seed}.json").write_text(json.dumps(counts))
    (folder / f"counts-{seed}.json").write_text(json.dumps(counts))
    (folder / "now").unlink(missing_ok=True)


def main() -> int:
    """Run until the time is over; exit code 1 where something was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("fuzz-findings"))
    parser.add_argument("--child", type=float, default=None, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.child is not None:
        child(options.out, options.seed, options.child)
        return 0
    end, seed, crashes = time.monotonic() + 60 * options.minutes, options.seed, 0
    while (left := end - time.monotonic()) > 1:
        command = [sys.executable, "-m", "tests.soak.fuzz", "--out", str(options.out), "--seed", str(seed), "--child", str(left)]
        ended = subprocess.run(command, check=False)
        if ended.returncode and (options.out / "now").exists():
            crashes += 1
            (options.out / "now").rename(options.out / f"crash-{seed}-{ended.returncode}")
            print(f"A file ended the process with {ended.returncode}: {(options.out / 'now.json').read_text()}")
        seed += 1
    counts: collections.Counter = collections.Counter()
    for path in options.out.glob("counts-*.json"):
        counts.update(json.loads(path.read_text()))
    for line, count in sorted(counts.items()):
        print(f"{count:8,}  {line}")
    odd = {line for line in counts if not line.endswith((": read", ": refused"))}
    print(f"{sum(counts.values()):,} files, {len(odd)} kinds of findings, {crashes} crashes; kept in {options.out}")
    return int(bool(odd or crashes))


if __name__ == "__main__":
    sys.exit(main())
