"""What would not fit into memory is refused before it begins, in one line."""

import pytest

from stvlm.io.source import InputError, open_source
from stvlm.runtime import memory


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with 2 GB free, in a container that may use 1 GB and uses 0.7 GB, of which 0.3 GB are pages of files."""
    (tmp_path / "meminfo").write_text("MemTotal: 4000000 kB\nMemAvailable: 2000000 kB\n")
    (tmp_path / "memory.max").write_text("1000000000\n")
    (tmp_path / "memory.current").write_text("700000000\n")
    (tmp_path / "memory.stat").write_text("anon 400000000\nactive_file 100000000\ninactive_file 200000000\n")
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "CONTAINERS", ((tmp_path, "memory.max", "memory.current"),))
    return tmp_path


def test_the_smaller_of_machine_and_container_is_free(machine):
    assert memory.free_bytes() == 600_000_000
    (machine / "memory.max").write_text("max\n")
    assert memory.free_bytes() == 2_048_000_000
    (machine / "meminfo").unlink()
    assert memory.free_bytes() is None


def test_too_little_memory_is_one_line_with_both_numbers_and_the_cure(machine):
    memory.need(500_000_000, "A forecast", "Wait.")
    with pytest.raises(memory.MemoryShortError, match=r"^A forecast needs about 0.7 GB of memory, and 0.6 GB are free. Wait.$"):
        memory.need(700_000_000, "A forecast", "Wait.")


def test_a_table_that_would_not_fit_is_refused_before_it_is_read(machine, tmp_path):
    (tmp_path / "series.csv").write_text("timestamp,a\n2024-01-01,1\n")
    file = open_source(tmp_path / "series.csv")
    file.check_cells(1_000_000, 30)
    with pytest.raises(InputError, match=r"series.csv: reading 1,000,000 rows x 31 columns needs about 0.6 GB .* Split the file."):
        file.check_cells(1_000_000, 31)


def test_the_estimate_of_a_forecast_grows_in_line_with_the_sensors():
    more = memory.forecast_bytes(10_000) - memory.forecast_bytes(5_000)
    assert more == memory.forecast_bytes(15_000) - memory.forecast_bytes(10_000)
    assert memory.forecast_bytes(10_000) < 8e9
