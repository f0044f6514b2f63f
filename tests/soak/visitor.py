"""One simulated visitor of the app: a client of Streamlit's own web socket, which sends what a browser would and reads what comes back."""

from __future__ import annotations

import io
import json
import secrets
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field

import pandas as pd
import pyarrow as pa
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Common_pb2 import UploadedFileInfo
from streamlit.proto.Element_pb2 import Element
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import connect

RESTS = (ForwardMsg.FINISHED_SUCCESSFULLY, ForwardMsg.FINISHED_WITH_COMPILE_ERROR)


class LostError(ConnectionError):
    """The server is gone, or did not answer in time."""


@dataclass
class Shown:
    """What stands on a page at rest.

    Attributes:
        elements: by their place. raw: every message that the server sent meanwhile, one after another.
    """

    elements: dict[tuple[int, ...], Element] = field(default_factory=dict)
    raw: bytes = b""

    def of(self, kind: str) -> Iterator:
        """All elements of a kind, such as "selectbox"."""
        return (getattr(element, kind) for element in self.elements.values() if element.WhichOneof("type") == kind)

    @property
    def failures(self) -> list[str]:
        """What the page says of its own exceptions."""
        return [f"{found.type}: {found.message}" for found in self.of("exception")]

    def alerts(self) -> list[str]:
        """Texts of errors and warnings on the page."""
        return [found.body for found in self.of("alert")]

    def tables(self) -> list[pd.DataFrame]:
        """Every table that is sent whole."""
        sent = (found.arrow_data.data for found in self.of("dataframe") if found.arrow_data.data)
        return [pa.ipc.open_stream(data).read_pandas() for data in sent]


class Visitor:
    """A browser's side of one session.

    Args:
        address: "127.0.0.1:8501". patience_seconds: that an answer may take.

    Raises:
        LostError: nobody answers there.
    """

    def __init__(self, address: str, patience_seconds: float = 180.0) -> None:
        self.address, self.patience_seconds = address, patience_seconds
        self.shown, self.query, self.page, self.session = Shown(), "", "", ""
        self._held: dict[str, WidgetState] = {}
        try:
            with urllib.request.urlopen(f"http://{address}/_stcore/health", timeout=patience_seconds) as answer:
                cookies = answer.headers.get_all("Set-Cookie") or []
            self._token = next(c.split(";")[0].split("=", 1)[1] for c in cookies if c.startswith("_streamlit_xsrf="))
            uri = f"ws://{address}/_stcore/stream"
            self._socket = connect(uri, subprotocols=["streamlit"], compression=None, max_size=None, proxy=None)
        except (OSError, StopIteration, WebSocketException) as error:
            raise LostError(str(error)) from error

    def close(self) -> None:
        """Close the tab."""
        self._socket.close()

    def open(self, page: str, query: str = "") -> Shown:
        """Go to a page by its address."""
        self.query, self._held = query, {}
        return self._run(page=page)

    def press(self, key: str) -> Shown:
        """Press the button of that key, or of that label."""
        found = next(b for b in self.shown.of("button") if key in (b.label, key_of(b.id)) and not b.disabled)
        return self._run(WidgetState(id=found.id, trigger_value=True))

    def choose(self, key: str, place: int) -> Shown:
        """Choose an option of a select box by its place, round and round."""
        found = next(b for b in self.shown.of("selectbox") if key_of(b.id) == key)
        return self._run(WidgetState(id=found.id, string_value=found.options[place % len(found.options)]), keeps=True)

    def slide(self, key: str, place: int) -> Shown:
        """Move a select slider to one of its options."""
        found = next(b for b in self.shown.of("slider") if key_of(b.id) == key)
        state = WidgetState(id=found.id)
        if found.options:
            state.string_array_value.data.append(found.options[place % len(found.options)])
        else:
            state.double_array_value.data.append(found.min)
        return self._run(state, keeps=True)

    def write(self, key: str, text: str) -> Shown:
        """Write into a text field; in a form it is sent with the next press."""
        found = next(b for b in self.shown.of("text_input") if key_of(b.id).startswith(key))
        state = WidgetState(id=found.id, string_value=text)
        if found.form_id:
            self._held[found.id] = state
            return self.shown
        return self._run(state, keeps=True)

    def send(self, state: WidgetState) -> Shown:
        """Set any widget."""
        return self._run(state, keeps=True)

    def click_map(self, sensor: str) -> Shown:
        """Click on a sensor of the first map."""
        found = next(c for c in self.shown.of("component_instance") if "folium" in c.component_name)
        told = {"last_active_drawing": {"properties": {"id": sensor}}, "last_object_clicked_count": 1, "last_clicked": None}
        return self._run(WidgetState(id=found.id, json_value=json.dumps(told)), keeps=True)

    def upload(self, files: dict[str, bytes]) -> Shown:
        """Drop files on the page's uploader."""
        state = WidgetState(id=next(self.shown.of("file_uploader")).id)
        for name, content in files.items():
            file_id = secrets.token_hex(8)
            path = f"/_stcore/upload_file/{self.session}/{file_id}"
            self._put(path, name, content)
            told = UploadedFileInfo(name=name, size=len(content), file_id=file_id)
            told.file_urls.file_id, told.file_urls.upload_url, told.file_urls.delete_url = file_id, path, path
            state.file_uploader_state_value.uploaded_file_info.append(told)
        return self._run(state, keeps=True)

    def _put(self, path: str, name: str, content: bytes) -> None:
        edge = secrets.token_hex(12)
        head = f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\nContent-Type: text/csv\r\n\r\n'
        body = io.BytesIO(head.encode() + content + f"\r\n--{edge}--\r\n".encode()).getvalue()
        headers = {"Content-Type": f"multipart/form-data; boundary={edge}", "X-Xsrftoken": self._token}
        headers["Cookie"] = f"_streamlit_xsrf={self._token}"
        request = urllib.request.Request(f"http://{self.address}{path}", body, headers, method="PUT")
        try:
            urllib.request.urlopen(request, timeout=self.patience_seconds).close()
        except OSError as error:
            raise LostError(str(error)) from error

    def _run(self, changed: WidgetState | None = None, keeps: bool = False, page: str | None = None) -> Shown:
        """Ask for a run of the page and wait until it is at rest."""
        message = BackMsg()
        message.rerun_script.query_string = self.query
        if page is None:
            message.rerun_script.page_script_hash = self.page
        else:
            message.rerun_script.page_name = page
        states = self._held | ({changed.id: changed} if changed else {})
        message.rerun_script.widget_states.widgets.extend(states.values())
        message.rerun_script.context_info.timezone = "UTC"
        message.rerun_script.context_info.locale = "en"
        try:
            self._socket.send(message.SerializeToString())
            self._listen()
        except (ConnectionClosed, TimeoutError, OSError) as error:
            raise LostError(str(error)) from error
        if keeps:
            self._held[changed.id] = changed
        alive = {getattr(getattr(e, str(e.WhichOneof("type"))), "id", "") for e in self.shown.elements.values()}
        self._held = {name: state for name, state in self._held.items() if name in alive}
        return self.shown

    def _listen(self) -> None:
        fresh: dict[tuple[int, ...], Element] = {}
        raw = []
        while True:
            data = self._socket.recv(self.patience_seconds)
            raw.append(data)
            message = ForwardMsg.FromString(data)
            kind = message.WhichOneof("type")
            if kind == "new_session":
                self.session, fresh = message.new_session.initialize.session_id, {}
            elif kind == "navigation":
                self.page = message.navigation.page_script_hash
            elif kind == "page_info_changed":
                self.query = message.page_info_changed.query_string
            elif kind == "delta" and message.delta.WhichOneof("type") == "new_element":
                fresh[tuple(message.metadata.delta_path)] = message.delta.new_element
            elif kind == "script_finished" and message.script_finished in RESTS:
                self.shown = Shown(fresh, b"".join(raw))
                return
            elif kind == "script_finished" and message.script_finished == ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY:
                self.shown = Shown(self.shown.elements | fresh, b"".join(raw))
                return


def key_of(identity: str) -> str:
    """The key that the app gave a widget, out of its id ("$$ID-hash-key")."""
    return identity.split("-", 2)[2] if identity.startswith("$$ID-") and identity.count("-") > 1 else ""
