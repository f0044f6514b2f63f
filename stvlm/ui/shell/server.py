"""What the web server adds to every answer, and whom it answers: other websites can neither frame the app nor use it."""

from __future__ import annotations

import asyncio
import sys
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit import config
from streamlit.runtime import exists, get_instance
from streamlit.runtime.app_session import AppSession

from stvlm.runtime.memory import give_back
from stvlm.runtime.settings import SettingsError, settings

# Inline scripts cannot be forbidden: Streamlit's front end and Leaflet's frame need them. Every request to another host is forbidden.
POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "worker-src 'self' blob:",
        "frame-src 'self' data: blob:",
        "frame-ancestors 'self'",
        "base-uri 'self'",
        "form-action 'self'",
        "object-src 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Frame-Options": "SAMEORIGIN",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}


class Guard:
    """Refuses what another website's page sends, and adds `HEADERS` to every answer.

    A browser names in `Origin` the page that sends a request across sites or opens a web socket. Streamlit would accept any port of this
    machine, and ask a service on the internet for this machine's outside address before it refuses the rest.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on, one connection."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        if scope["type"] == "http":
            app = self._app if _is_welcome(scope) else PlainTextResponse("Requests from other websites are refused.", 403)
            await app(scope, receive, send_with_headers)
        elif scope["type"] == "websocket" and not _is_welcome(scope):
            await send({"type": "websocket.close", "code": 1008})  # before it is accepted: the handshake ends with 403
        else:
            await self._app(_as_own(scope) if scope["type"] == "websocket" else scope, receive, send)
            if scope["type"] == "websocket":
                _forget_later()


def middleware() -> list[Middleware]:
    """For `streamlit.App`. Ends the program with one line for each setting that makes no sense."""
    try:
        settings()
    except SettingsError as error:
        sys.exit(str(error))
    return [Middleware(Guard)]


def _forget_later() -> None:
    """Some time after a tab was closed, end its session: Streamlit would only do so when another tab is closed, and not at once.

    A session holds the files that were uploaded in it. For a while it is kept, for a browser that was cut off and comes back.
    """
    if exists():
        seconds = config.get_option("server.disconnectedSessionTTL") + 1
        left = [info.session for info in get_instance()._session_mgr.list_sessions()]
        asyncio.get_running_loop().call_later(seconds, _forget, left)


def _forget(sessions: list[AppSession]) -> None:
    """End those of the sessions that nobody can come back to."""
    manager = get_instance()._session_mgr
    for session in sessions:
        if manager.get_session_info(session.id) is None:
            session.shutdown()
            session.session_state.clear()  # whoever still holds the session does not hold what was uploaded
    sessions.clear()
    give_back()


def _as_own(scope: Scope) -> Scope:
    """The same connection as if a page of this host had opened it; Streamlit looks at the origins that are allowed only after it has
    asked for this machine's outside address.
    """
    headers = Headers(scope=scope)
    own = f"{urlsplit(headers.get('origin', '')).scheme}://{headers.get('host', '')}".encode("latin-1")
    return scope | {"headers": [(name, own if name == b"origin" else value) for name, value in scope["headers"]]}


def _is_welcome(scope: Scope) -> bool:
    """Whether no page sends it, a page of this very host and port, or one named in `server.corsAllowedOrigins`."""
    headers = Headers(scope=scope)
    origin = headers.get("origin")
    return (
        origin is None or urlsplit(origin).netloc == headers.get("host") or origin in config.get_option("server.corsAllowedOrigins")
    )
