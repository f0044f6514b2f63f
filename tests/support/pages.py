"""The app driven without a browser."""

from streamlit.testing.v1 import AppTest

from stvlm.ui.shell import layout
from tests.support.paths import ROOT

SECONDS = 90
INSIDE = [name for name in layout.PAGES if name != "home"]
NEEDS_A_NETWORK = [name for name in INSIDE if name != "compare"]


def start() -> AppTest:
    """A fresh session on the home page."""
    return AppTest.from_file(str(ROOT / "app.py"), default_timeout=SECONDS).run()


def visit(app: AppTest, name: str, **query: str) -> AppTest:
    """Open a page, with parameters of its address; it must end without an exception."""
    for key, value in query.items():
        app.query_params[key] = value
    app = app.switch_page(layout.PAGES[name].path).run()
    assert not app.exception, app.exception
    return app


def param(app: AppTest, name: str) -> str:
    """A parameter of the address in view."""
    value = app.query_params.get(name, "")
    return value if isinstance(value, str) else value[0]


def words(app: AppTest) -> str:
    """Everything that the page says, as one text."""
    kinds = ("markdown", "caption", "info", "warning", "error", "success", "title", "subheader", "text")
    return "\n".join(str(element.value) for kind in kinds for element in app.main.get(kind))


def upload(app: AppTest, *files: tuple[str, str]) -> AppTest:
    """The Data page after these files (name, content) were dropped on it."""
    app = visit(app, "data", source="own")
    app.file_uploader[0].set_value([(name, content.encode(), "text/csv") for name, content in files])
    app.run()
    assert not app.exception, app.exception
    return app
