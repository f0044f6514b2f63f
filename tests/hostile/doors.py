"""The door that most hostile files knock at: sensor table and readings as uploads, with what may lie beside them."""

from collections.abc import Callable
from functools import partial

from stvlm.io.read import InputFiles, read_tables
from stvlm.io.source import InputError
from stvlm.quality import report
from tests.hostile.cases import add

SENSORS = b"sensor_id,lat,lon,name\n01,48.1,11.5,North\n02,48.2,11.6,South\nNA,48.3,11.7,East\n"
WIDE = b"timestamp,01,02,NA\n2020-01-01 00:00,1,2,3\n2020-01-01 01:00,4,,6.5\n2020-01-01 02:00,7,8,9\n"
ROLES = ("sensors", "series", "adjacency", "context", "base_layer", "grid")


def upload(fixes: tuple[str, ...] = (), **given) -> tuple[str, list[str]]:
    """What a user sees who uploads these files: the refusals, or the findings of the report."""
    given = {"sensors": ("s.csv", SENSORS), "series": ("r.csv", WIDE)} | given
    try:
        raw = report.apply_fixes(read_tables(InputFiles(**given)), fixes)
        series = report.to_series(raw)
        series.fingerprint.encode()
        return "read", [problem.line for problem in report.inspect(raw).problems]
    except InputError as error:
        return "refused", list(error.problems)


def _case(outcome: str, name: str, words: str, make: Callable[[], dict]) -> None:
    add(outcome, name, words, make, upload)


refused = partial(_case, "refused")
read = partial(_case, "read")


def series(content: bytes | str, name: str = "r.csv", **more) -> dict:
    """An upload whose readings are hostile."""
    return {"series": (name, content.encode() if isinstance(content, str) else content)} | more


def sensors(content: bytes | str, name: str = "s.csv", **more) -> dict:
    """An upload whose sensor table is hostile."""
    return {"sensors": (name, content.encode() if isinstance(content, str) else content)} | more
