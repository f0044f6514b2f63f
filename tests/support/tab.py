"""A tab without a browser: it speaks Streamlit's protocol, so it can also send what no page would."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Self
from urllib.parse import urlencode, urlsplit

from google.protobuf.message import Message
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Element_pb2 import Element
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.sync.client import connect

DONE = ForwardMsg.ScriptFinishedStatus.FINISHED_SUCCESSFULLY


class Tab:
    """One session of a running app.

    Args:
        url: of the app. origin: of the website that opens the connection; None: the app's own.
    """

    def __init__(self, url: str, origin: str | None = None) -> None:
        address = f"ws://{urlsplit(url).netloc}/_stcore/stream"
        self._opening = connect(address, origin=origin or url, subprotocols=["streamlit"], max_size=None, open_timeout=30)
        self.pages: dict[str, str] = {}  # path in the address -> hash
        self.elements: list[Element] = []  # of the last run

    def __enter__(self) -> Self:
        self._line = self._opening.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._opening.__exit__(*error)

    def open(self, page: str = "", seconds: float = 120, **query: str) -> Self:
        """Run a page, by its path in the address; "" is the first one."""
        if not self.pages:
            self._run("", {}, (), seconds)
        self._page, self._query = self.pages[page], query
        return self.send(seconds=seconds)

    def send(self, *widgets: WidgetState, seconds: float = 120) -> Self:
        """Run the page again with what widgets hold now: all of them, as a browser sends it; any value will do."""
        self._run(self._page, self._query, widgets, seconds)
        return self

    def find(self, kind: str, label: str) -> Message:
        """The element of a kind with a label."""
        return next(found for found in self.of(kind) if found.label == label)

    def of(self, kind: str) -> Iterator[Message]:
        """All elements of a kind that the last run drew."""
        return (getattr(element, kind) for element in self.elements if element.WhichOneof("type") == kind)

    @property
    def text(self) -> str:
        """All that the last run drew, as text."""
        return "\n".join(map(str, self.elements))

    def _run(self, page: str, query: dict[str, str], widgets: tuple[WidgetState, ...], seconds: float) -> None:
        message = BackMsg()
        message.rerun_script.page_script_hash = page
        message.rerun_script.query_string = urlencode(query)
        message.rerun_script.widget_states.widgets.extend(widgets)
        self._line.send(message.SerializeToString())
        self.elements.clear()
        deadline = time.monotonic() + seconds
        while True:
            answer = ForwardMsg.FromString(self._line.recv(timeout=max(deadline - time.monotonic(), 0)))
            kind = answer.WhichOneof("type")
            if kind == "new_session":
                self.elements.clear()
            elif kind == "navigation":
                self.pages = {page.url_pathname: page.page_script_hash for page in answer.navigation.app_pages}
            elif kind == "delta" and answer.delta.WhichOneof("type") == "new_element":
                self.elements.append(answer.delta.new_element)
            elif kind == "script_finished" and answer.script_finished == DONE:
                return
