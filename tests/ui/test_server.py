"""Over HTTP: no other website frames the app or uses it; a server that is not set up correctly does not start."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from urllib.parse import urlsplit

import psutil
import pytest

from tests.soak.load import free_port, start_server
from tests.soak.visitor import Visitor
from tests.support.paths import ROOT

UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Protocol": "streamlit",
}


def ask(url: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str]]:
    """Status and headers of the answer."""
    request = urllib.request.Request(url, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, dict(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers)


def shake_hands(url: str, **headers: str) -> int:
    """Status of the answer to the opening of a web socket: 101 where it is open."""
    parts = urlsplit(url)
    lines = UPGRADE | {"Host": parts.netloc} | headers
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as line:
        head = "\r\n".join(["GET /_stcore/stream HTTP/1.1", *(f"{name}: {value}" for name, value in lines.items())])
        line.sendall(f"{head}\r\n\r\n".encode())
        return int(line.makefile("rb").readline().split()[1])


@pytest.mark.parametrize(
    "path", ["/", "/forecast", "/_stcore/health", "/component/streamlit_folium.st_folium/index.html", "/media/no"]
)
def test_every_answer_forbids_foreign_frames_and_requests_to_other_hosts(app_url, path):
    _, headers = ask(app_url + path)
    policy = dict(rule.split(" ", 1) for rule in headers["content-security-policy"].split("; "))
    assert policy["frame-ancestors"] == policy["connect-src"] == policy["default-src"] == "'self'"
    assert not any("http" in allowed or "*" in allowed for allowed in policy.values())
    assert (headers["x-frame-options"], headers["x-content-type-options"]) == ("SAMEORIGIN", "nosniff")


def test_a_web_socket_opens_for_the_page_of_this_host_and_port_alone(app_url):
    port = urlsplit(app_url).port
    assert shake_hands(app_url) == shake_hands(app_url, Origin=app_url) == 101
    assert shake_hands(app_url, Host=f"localhost:{port}", Origin=f"http://localhost:{port}") == 101
    others = [f"http://127.0.0.1:{port + 1}", f"http://localhost:{port}", "http://0.0.0.0", "https://example.org", "null", "", "//"]
    assert {origin: shake_hands(app_url, Origin=origin) for origin in others} == dict.fromkeys(others, 403)


def test_a_name_that_was_turned_to_this_host_opens_no_web_socket(app_url):
    host = f"rebound.example:{urlsplit(app_url).port}"
    assert shake_hands(app_url, Host=host, Origin=f"http://{host}") == 403


def test_a_refused_website_does_not_make_the_server_look_for_its_own_address(app_url, app_home):
    before = (app_home.parent / "app.log").stat().st_size
    assert shake_hands(app_url, Origin="https://example.org") == 403
    assert b"external IP" not in (app_home.parent / "app.log").read_bytes()[before:]


@pytest.mark.parametrize("method", ["GET", "OPTIONS", "PUT", "DELETE"])
def test_requests_of_other_websites_are_refused_whatever_they_ask(app_url, method):
    path = "/_stcore/upload_file/00000000-0000-0000-0000-000000000000/1"
    assert ask(app_url + path, method, Origin="http://localhost:1")[0] == 403
    assert ask(app_url + "/_stcore/health", Origin="http://localhost:1")[0] == 403
    assert ask(app_url + "/_stcore/health", Origin=app_url)[0] == 200


def test_a_server_with_a_wrong_setting_says_so_and_does_not_start(home):
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", "0"]
    environment = os.environ | {"STVLM_MAX_UPLOADS": "abc", "STVLM_MAX_GB": "nan"}
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode != 0
    assert "STVLM_MAX_UPLOADS: Input should be a valid integer" in ended.stderr
    assert "STVLM_MAX_GB: Input should be a finite number" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_what_was_uploaded_is_let_go_of_when_its_tab_is_closed(tmp_path, monkeypatch):
    monkeypatch.setenv("STREAMLIT_SERVER_DISCONNECTED_SESSION_TTL", "1")
    port = free_port()
    process = start_server(tmp_path / "home", port, tmp_path / "app.log")
    try:
        server = psutil.Process(process.pid)
        for size in (1, 120_000_000):  # the first one loads what an upload needs
            before = server.memory_info().rss
            visitor = Visitor(f"127.0.0.1:{port}")
            visitor.open("data", "source=own")
            visitor.upload({"readme.csv": b"x" * size})
            most = server.memory_info().rss
            visitor.close()
            deadline = time.monotonic() + 30
            while server.memory_info().rss > before + 40e6 and time.monotonic() < deadline:
                time.sleep(0.2)
        assert most > before + 100e6
        assert server.memory_info().rss < before + 40e6
    finally:
        process.kill()
        process.wait()
