"""A file is parsed once for each of its states."""

import json
import os

import pytest

from stvlm.runtime.atomic import write_atomic
from stvlm.runtime.cache import parsed_file


def test_a_file_is_parsed_again_only_after_it_has_changed(tmp_path):
    path, parsed = tmp_path / "a.json", []

    def parse(text):
        parsed.append(text)
        return json.loads(text)

    write_atomic(path, {"step": 1})
    assert [parsed_file(path, parse) for _ in range(3)] == [{"step": 1}] * 3
    assert len(parsed) == 1
    before = path.stat()
    write_atomic(path, {"step": 2})
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # as large and as old as the one before
    assert parsed_file(path, parse) == {"step": 2}
    assert len(parsed) == 2


def test_a_harmed_file_is_an_error_each_time_until_it_is_mended(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("{")
    for _ in range(2):
        with pytest.raises(ValueError, match="Expecting"):
            parsed_file(path, json.loads)
    path.write_text("{}")
    assert parsed_file(path, json.loads) == {}
    path.unlink()
    with pytest.raises(FileNotFoundError):
        parsed_file(path, json.loads)
