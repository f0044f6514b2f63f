"""What the tests share: small networks, the real data beside the checkout, a running app, a browser that sees this host only."""

from __future__ import annotations

import os

from stvlm.runtime import environment

os.environ.update(environment.variables())  # before numpy and torch are loaded, as in the app
os.environ.setdefault("OMP_NUM_THREADS", "2")

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
import pytest

from stvlm.core.network import SensorNetwork
from stvlm.core.series import SensorSeries
from stvlm.core.windows import Window
from tests.support.paths import CHECKPOINTS, SHARED_DATA
from tests.support.processes import served

if TYPE_CHECKING:
    from streamlit.testing.v1 import AppTest

    from stvlm.model.stvlm import STVLM

CHROMIUM = next((p for name in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(name))), None)
MOST_WORKERS = 4  # each takes about 2 GB
OWN_HOSTS = ("127.0.0.1", "localhost")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One worker a core for whole folders; a few files are quicker in the process at hand (0: no worker)."""
    if any(".py" in argument for argument in config.args):
        return 0
    return min(os.cpu_count() or 1, MOST_WORKERS)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Two threads that wait for each other on a busy machine take fifteen times as long as one."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty workspace for runs and data sets."""
    monkeypatch.setenv("STVLM_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def app(home: Path) -> AppTest:
    """The home page of a fresh session over an empty workspace."""
    from tests.support.pages import start

    return start()


@pytest.fixture
def end_workers(home: Path) -> Iterator[None]:
    """Ends every worker that still runs after the test."""
    from stvlm.jobs import api, local
    from stvlm.jobs.run import run_folder

    yield
    for run in api.list_runs():
        found = local.worker_process(run_folder(run.run_id))
        if found and local.is_alive(found):
            local.end(found, patience_seconds=0.0)


@pytest.fixture
def json_reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Every JSON file whose text is read from now on."""
    found: list[Path] = []
    read = Path.read_text

    def counted(path: Path, *args: object, **how: object) -> str:
        if path.suffix == ".json":
            found.append(path)
        return read(path, *args, **how)

    monkeypatch.setattr(Path, "read_text", counted)
    return found


@pytest.fixture(scope="session")
def small_series() -> SensorSeries:
    """Six made-up sensors, 14 days by the hour, in km/h: a daily wave, one level per sensor, noise, a few gaps."""
    rng = np.random.default_rng(7)
    n_steps, n_sensors = 14 * 24, 6
    times = np.datetime64("2024-03-04T00:00:00") + np.arange(n_steps) * np.timedelta64(1, "h")
    level = np.linspace(40, 65, n_sensors)
    wave = 10 * np.sin(2 * np.pi * np.arange(n_steps) / 24)[:, None]
    values = (level + wave + rng.normal(0, 1.5, (n_steps, n_sensors))).astype("float32")
    values[rng.random(values.shape) < 0.01] = np.nan
    network = SensorNetwork(
        ids=tuple(f"0{i}" for i in range(1, n_sensors + 1)),
        lat=52.50 + rng.uniform(-0.05, 0.05, n_sensors),
        lon=13.40 + rng.uniform(-0.08, 0.08, n_sensors),
        facts=pd.DataFrame({"name": ["North gate", "Bridge", "Market", "Station", "Harbour", "Hill road"]}),
    )
    return SensorSeries(network, times, values, quantity="traffic speed", unit="km/h")


@pytest.fixture(scope="session")
def city_model() -> STVLM:
    """The model that comes with the city; no test changes it."""
    from stvlm.model.stvlm import STVLM

    return STVLM.load(CHECKPOINTS / "synthetic_city")


@pytest.fixture(scope="session")
def city_window() -> Window:
    """A window of the city whose lookback has no incident."""
    from stvlm.datasets.samples import SAMPLES, load_sample

    sample = SAMPLES["synthetic_city"]
    return Window(load_sample("synthetic_city"), 2400, sample.lookback, sample.horizon)


@pytest.fixture(scope="session")
def small_files(small_series: SensorSeries, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The sensor table and the readings of `small_series` as CSV files."""
    folder = tmp_path_factory.mktemp("small")
    network = small_series.network
    table = pd.DataFrame({"sensor_id": network.ids, "lat": network.lat, "lon": network.lon, "name": network.facts["name"]})
    table.to_csv(folder / "sensors.csv", index=False)
    readings = pd.DataFrame(small_series.values, index=pd.DatetimeIndex(small_series.times, name="timestamp"), columns=network.ids)
    readings.to_csv(folder / "readings.csv")
    return folder / "sensors.csv", folder / "readings.csv"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real networks beside the checkout."""
    if not SHARED_DATA.is_dir():
        pytest.skip("The real networks (../shared/data) are not beside this checkout.")
    return SHARED_DATA


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium; without one the test is skipped, or fails where STVLM_REQUIRE_BROWSER=1."""
    if CHROMIUM is None:
        if os.environ.get("STVLM_REQUIRE_BROWSER") == "1":
            pytest.fail("STVLM_REQUIRE_BROWSER=1, but there is no Chromium on the path.")
        pytest.skip("There is no Chromium on the path (Debian: apt-get install chromium).")
    return CHROMIUM


@pytest.fixture(scope="session")
def app_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workspace of the app of `app_url`."""
    return tmp_path_factory.mktemp("app") / "home"


@pytest.fixture(scope="session")
def app_url(app_home: Path) -> Iterator[str]:
    """The address of a freshly started app with an empty workspace."""
    with served(os.environ | {"STVLM_HOME": str(app_home)}, app_home.parent / "app.log") as address:
        yield address


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator:
    """A headless Chromium that can find no host but this one."""
    from playwright.sync_api import sync_playwright

    rules = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", rules]
        found = playwright.chromium.launch(executable_path=chromium, args=arguments)
        yield found
        found.close()


@pytest.fixture
def foreign_requests() -> list[str]:
    """Every address outside this host that the `page` of this test asked for; the fixture `page` asserts that it is empty."""
    return []


@pytest.fixture
def page(browser, foreign_requests: list[str]) -> Iterator:
    """An empty page, 1280 x 900. After the test, no other host may have been asked for anything."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    context.set_default_timeout(90_000)

    def guard(route) -> None:
        if is_own(route.request.url):
            route.continue_()
        else:
            foreign_requests.append(route.request.url)
            route.abort()

    context.route("**/*", guard)
    opened = context.new_page()
    # web sockets do not pass through routes
    opened.on("websocket", lambda socket_: None if is_own(socket_.url) else foreign_requests.append(socket_.url))
    yield opened
    context.close()
    assert foreign_requests == []


def is_own(url: str) -> bool:
    """Whether an address stays on this host: loopback, or data made in the page."""
    parts = urlsplit(url)
    return parts.scheme in ("data", "blob", "about") or parts.hostname in OWN_HOSTS
