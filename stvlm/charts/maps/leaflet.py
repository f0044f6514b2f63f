"""A folium map that asks nothing of any other host: same-origin Leaflet, bundled land, no tiles."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import folium
from branca.colormap import ColorMap
from branca.element import Element
from folium.elements import ElementAddToElement, JSCSSMixin, MacroElement
from folium.map import CustomPane
from folium.template import Template
from folium.utilities import get_obj_in_upper_tree

from stvlm.charts.labels import ENGLISH, Wording
from stvlm.charts.maps.basemap import Bounds, land_around
from stvlm.charts.style import Theme, browser_file
from stvlm.core.escape import html as escape
from stvlm.core.escape import script

ASSET_BASE = "../stvlm.ui.shell.render.stvlm_webassets"  # seen from the map's own frame: a route of the same server
PANES = {"land": 200, "image": 300, "arcs": 350}  # all below the points, which are in Leaflet's own pane at 400


def leaflet_assets() -> Path:
    """The folder with leaflet.js, leaflet.css and images/ that the app serves under `ASSET_BASE`.

    Raises:
        FileNotFoundError: where the package django-js-lib-leaflet is not installed.
    """
    spec = find_spec("js_lib_leaflet")  # finds without importing, so Django is not needed
    folder = Path(spec.origin).parent / "static" / "js_lib_leaflet" if spec and spec.origin else None
    if folder is None or not (folder / "leaflet.js").is_file():
        raise FileNotFoundError("Maps need Leaflet's files: install the package django-js-lib-leaflet.")
    return folder


class OfflineMap(folium.Map):
    """folium.Map whose only script and style are same-origin, without tiles."""

    default_js = [("leaflet", f"{ASSET_BASE}/leaflet.js")]  # noqa: RUF012  as in folium.Map
    default_css = [("leaflet_css", f"{ASSET_BASE}/leaflet.css")]  # noqa: RUF012

    def __init__(self, view: Bounds, theme: Theme, free_below: int = 14, words: Wording = ENGLISH) -> None:
        """Land, scale bar and north mark, fitted to a view.

        Args:
            view: (west, south, east, north) in degrees that must be seen.
            theme: colours.
            free_below: pixels at the lower edge that the view leaves free.
            words: what the map says.
        """
        west, south, east, north = view
        super().__init__(
            location=((south + north) / 2, (west + east) / 2),
            tiles=None,
            prefer_canvas=True,
            zoom_snap=0.25,
            zoom_delta=0.5,
            wheel_px_per_zoom_level=90,
            world_copy_jump=False,
        )
        for pane, z_index in PANES.items():
            CustomPane(pane, z_index=z_index).add_to(self)
        extent, shapes = land_around(view)
        SafeGeoJson(_styled(shapes, theme), name="land", control=False, pane="land", interactive=False).add_to(self)
        credit = "Natural Earth" + (", US Census Bureau" if "state" in shapes else "")
        settings = {"view": corners(view), "extent": corners(extent), "sea": theme.sea, "credit": credit, "freeBelow": free_below}
        colours = {name: getattr(theme, name) for name in ("panel", "text", "grid", "muted")}
        BrowserScript("stvlmFrame", settings | {"north": words.north}, ("frame.js",), "frame.css", colours).add_to(self)
        self.view = view

    def get_bounds(self) -> list[list[float]]:
        """Those of the view; folium would go through every corner of the land."""
        return corners(self.view)


def defused(template: Template) -> SimpleNamespace:
    """A template whose output is safe to be read as a template once more.

    branca compiles every script that it has rendered as a Jinja template of its own, outside any sandbox: a sensor named
    "{{ ... }}" would run as code on the server. Inside the strings of a script, "{\\u007b" is the same text and opens nothing.
    """

    def wrap(macro):
        return lambda *args: _reopened(str(macro(*args)))

    macros = {name: getattr(template.module, name, None) for name in ("header", "html", "script")}
    return SimpleNamespace(module=SimpleNamespace(**{name: wrap(macro) for name, macro in macros.items() if macro}))


def _reopened(script: str) -> str:
    return re.sub(r"\{([{%#])", lambda match: f"{{\\u{ord(match[1]):04x}", script)


class _Said(Element):
    """A text of a page that stands there as it is."""

    _template = Template("{{ this.text }}")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text


class Plain:
    """Goes before a class of folium whose scripts are long: they are not read as templates once more, which takes most of the time."""

    def render(self, **kwargs: object) -> None:
        """Put header, html and script into the figure."""
        figure = self.get_root()
        for part in ("header", "html", "script"):
            macro = getattr(self._template.module, part, None)
            if macro is not None:
                getattr(figure, part).add_child(_Said(str(macro(self, kwargs))), name=self.get_name())
        for child in self._children.values():
            child.render(**kwargs)


class BrowserScript(Plain, MacroElement):
    """A part of a map that a JavaScript file makes: its function is called with the map, or layer, that it is added to and with data."""

    _template = Template("""
    {% macro header(this, kwargs) %}{% if this.css %}<style>{{ this.css }}</style>{% endif %}{% endmacro %}
    {% macro script(this, kwargs) %}
    (function () {
    {{ this.code }}
    {{ this.function }}({{ this._parent.get_name() }}, {{ this.json }});
    })();
    {% endmacro %}
    """)

    def __init__(
        self,
        function: str,
        payload: dict[str, Any],
        scripts: tuple[str, ...],
        style: str = "",
        colours: dict[str, str] | None = None,
    ) -> None:
        """A call of a function of the browser.

        Args:
            function: its name, defined by one of `scripts`.
            payload: its second argument; may hold any text.
            scripts: files of `stvlm/charts/browser`.
            style: style sheet of the same folder.
            colours: name -> colour, for the style sheet's `var(--stvlm-NAME)`.
        """
        super().__init__()
        self._name = function.removeprefix("stvlm")
        self.function, self.payload = function, payload
        self.code = "\n".join(browser_file(name) for name in scripts)
        values = "".join(f"--stvlm-{name}: {colour}; " for name, colour in (colours or {}).items())
        self.css = (f":root {{ {values}}}\n" if values else "") + (browser_file(style) if style else "")

    @property
    def json(self) -> str:
        """The payload, safe inside a script and where the script is read as a template once more, see `defused`."""
        return _reopened(script(self.payload))


class SafeGeoJson(Plain, folium.GeoJson):
    """folium.GeoJson whose features carry their style and may hold any text."""

    _template = defused(folium.GeoJson._template)

    def render(self, **kwargs: object) -> None:
        """As any plain part, told where the map is, and put on it."""
        self.parent_map = get_obj_in_upper_tree(self, folium.Map)
        self.add_child(ElementAddToElement(self.get_name(), self._parent.get_name()), name=f"{self.get_name()}_add")
        super().render(**kwargs)


def external_links(element: Element) -> list[str]:
    """Every address that would make a browser leave this server: scripts, styles, tiles, linked images, colour bars.

    Args:
        element: a map, or any part of one.
    """
    found = []
    if isinstance(element, ColorMap):
        found.append("branca.ColorMap: d3js.org, cdnjs.cloudflare.com")  # put in by streamlit-folium
    if isinstance(element, JSCSSMixin):
        found += [url for _, url in [*element.default_js, *element.default_css]]
    found += [str(getattr(element, name, None) or "") for name in ("tiles", "url", "embed_link")]
    if type(element) is Element or not isinstance(element, MacroElement):
        found += re.findall(r"""(?:src|href)=["']([^"']+)""", getattr(element, "_template_str", "") or "")
    leaving = [url for url in found if "//" in url[:12] or url.startswith("branca")]
    for child in element._children.values():
        leaving += external_links(child)
    return list(dict.fromkeys(leaving))


def embed_leaflet(base: folium.Map, title: str, below: str = "") -> folium.Map:
    """Put Leaflet itself into the page of a map, which then needs no server and no network.

    Args:
        base: a map with all its features added.
        title: of the page.
        below: safe HTML that lies over the lower left corner, such as a legend.
    """
    folder, figure = leaflet_assets(), base.get_root()
    script = (folder / "leaflet.js").read_text("utf-8").replace("</script", "<\\/script")
    style = (folder / "leaflet.css").read_text("utf-8")
    base.default_js, base.default_css = [], []
    figure.title = escape(title)
    figure.header.add_child(_Said(f"<style>{style}</style><script>{script}</script>"), name="leaflet")
    if below:
        look = "position:fixed;left:10px;bottom:10px;z-index:1000;padding:6px 10px;border-radius:4px;background:#fffd;color:#222"
        figure.html.add_child(_Said(f'<div style="{look}">{below}</div>'), name="below")
    return base


def _styled(shapes: dict[str, dict], theme: Theme) -> dict:
    """The base map's geometries as features that carry their style."""
    styles = {
        "land": {"stroke": False, "fillColor": theme.land, "fillOpacity": 1},
        "border": {"color": theme.coast, "weight": 1, "fill": False},
        "state": {"color": theme.border, "weight": 0.8, "fill": False, "dashArray": "3 3"},
    }
    features = [
        {"type": "Feature", "geometry": shape, "properties": {"style": {**styles[name], "interactive": False}}}
        for name, shape in shapes.items()
    ]
    return {"type": "FeatureCollection", "features": features}


def corners(bounds: Bounds) -> list[list[float]]:
    """(west, south, east, north) as Leaflet wants it: [[south, west], [north, east]]."""
    west, south, east, north = (round(float(x), 6) for x in bounds)
    return [[south, west], [north, east]]
