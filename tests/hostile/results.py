"""Result files of backtests from strangers, as the Compare page takes them."""

import json

from stvlm.evaluation.result_files import read_result
from stvlm.io.source import InputError
from tests.hostile.cases import add

ROW = {"model": "m", "mae": 1.0, "rmse": 2.0, "mae_per_step": [1.0, 1.0]}
FILE = {"title": "t", "lookback": 2, "horizon": 2, "windows": {"train": 1, "val": 1, "test": 1}, "scores": [ROW]}


def compare(content: bytes) -> tuple[str, list[str]]:
    """What a user sees who gives this file."""
    try:
        result = read_result("x.json", content)
        return "read", [result.title, *(row["model"] for row in result.scores)]
    except InputError as error:
        return "refused", list(error.problems)


for _name, _content, _words in (
    ("JSON 100,000 levels deep", b"[" * 100_000 + b"]" * 100_000, "is no"),
    ("17 MB", b" " * 17_000_001, "holds more than 16 MB"),
    ("half a letter", b"\xff\xfe{", "is no JSON"),
    ("a list", b"[1, 2]", "is no result of a backtest"),
    ("a number of 5,000 digits", b'{"horizon": ' + b"9" * 5000 + b"}", "x.json"),
    ("a horizon of 10^18", json.dumps(FILE | {"horizon": 10**18}).encode(), "is no result of a backtest"),
    ("a score that is a text", json.dumps(FILE | {"scores": [ROW | {"mae": "<b>"}]}).encode(), "is no result of a backtest"),
    ("scores that are a text", json.dumps(FILE | {"scores": "many"}).encode(), "is no result of a backtest"),
    ("no scores", json.dumps(FILE | {"scores": []}).encode(), "is no result of a backtest"),
    (
        "120,000 sensors",
        json.dumps(FILE | {"scores": [ROW | {"mae_per_sensor": [1] * 120_000}] * 2}).encode(),
        "more than 20,000 sensors",
    ),
    ("5 million lists", b"[" + b"[]," * 5_000_000 + b"[]]", "more than 500,000 values"),
    ("a count of 400 digits", json.dumps(FILE | {"lookback": 10**400}).encode(), "is not from 0 to"),
    ("half a letter in the title", json.dumps(FILE | {"title": "\ud800"}).encode(), "holds half a letter"),
    ("half a letter in a setting", json.dumps(FILE | {"ablation_setting": {"\udfff": 1}}).encode(), "holds half a letter"),
    ("a pickle", b"\x80\x04K\x01.", "is no JSON"),
):
    add("refused", f"result: {_name}", _words, lambda content=_content: {"content": content}, compare)
