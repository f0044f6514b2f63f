"""Show what the charts return: maps with their legend and clicks, tables whose rows choose a sensor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

import pandas as pd
import streamlit as st
import streamlit.components.v1 as components

from stvlm.charts.labels import Wording
from stvlm.charts.maps.leaflet import ASSET_BASE, leaflet_assets
from stvlm.charts.maps.legend import legend_html
from stvlm.charts.maps.sensor_map import MapView
from stvlm.core.network import SensorNetwork
from stvlm.ui.shell import inputs, view_state
from stvlm.ui.shell.callbacks import Rows, accept
from stvlm.ui.shell.i18n import language, sentences, t

if TYPE_CHECKING:
    from streamlit.elements.arrow import DataframeState
    from streamlit.elements.plotly_chart import PlotlyState

T = TypeVar("T")
FARTHEST = 1e6  # degrees that a place may be told to lie away: a map can be dragged round the world many times
_PLOT = {"displaylogo": False, "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"]}


def wording() -> Wording:
    """What the charts say, in the language in view."""
    return _wording(language())


@lru_cache
def _wording(language: str) -> Wording:
    own = {"locale": language, "calendar": sentences(language)["calendar.names"]}
    said = [field.name for field in fields(Wording) if field.name not in own]
    return Wording(**own, **{name: sentences(language)[f"chart.{name}"] for name in said})


def figure_labels(kind: type[T], section: str) -> T:
    """What figures say, in the language in view.

    Args:
        kind: a dataclass of sentences. section: of the languages' files, that has each as draws_<name>.
    """
    return kind(**{part.name: t(f"{section}.draws_{part.name}") for part in fields(kind)})


def plot(figure: object, key: str, alt: str, height: int = 400, on_click: Callable[[dict], None] | None = None) -> None:
    """A figure in its own colours.

    Args:
        figure: what the charts made. key: one per figure of a page. alt: the figure in words. height: in pixels.
        on_click: is given the point (x, y ...) that was clicked.
    """
    key = f"figure-{key}"  # a widget of the same page may have the name
    figure.update_layout(height=height, modebar={"bgcolor": "rgba(0,0,0,0)"}, separators=t("format.separators"))
    if on_click is None:
        st.plotly_chart(figure, key=key, config=_PLOT, theme=None, alt=alt)
        return

    def take(state: PlotlyState) -> None:
        if state.selection.points:
            on_click(state.selection.points[0])

    figure.update_traces(unselected_marker_opacity=1, selector={"type": "scatter"})  # a click chooses a step, it hides nothing
    st.plotly_chart(
        figure, key=key, config=_PLOT, theme=None, alt=alt, on_select=accept({key: _POINTS}, take), selection_mode="points"
    )


def show_map(
    view: MapView,
    network: SensorNetwork,
    key: str,
    alt: str,
    height: int = 430,
    on_pick: Callable[[list[int]], None] | None = None,
    on_place: Callable[[float, float], None] | None = None,
) -> None:
    """A map; a click on a sensor makes it the sensor in view, a lasso on it (where the map has one) a group.

    Args:
        view: what the charts made of it. network: whose sensors can be clicked. key: one per map of a page. alt: the map in words.
        height: in pixels. on_pick: is given the nodes clicked or caught, and does something else with them.
        on_place: is given latitude and longitude of a click beside all sensors.
    """
    from streamlit_folium import st_folium  # slow to import, so only where a map is

    from stvlm.ui.shell import render  # noqa: F401  opens the route to Leaflet

    key = f"map-{key}-{view_state.data_id()}-{view.key}"  # another base map needs another key
    st_folium(
        view.base,
        key=key,
        feature_group_to_add=view.features,
        returned_objects=["last_active_drawing", "last_object_clicked_count"] + (["last_clicked"] if on_place else []),
        use_container_width=True,
        height=height,
        render=False,  # it is rendered all the same; this spares a second time
        on_change=accept({key: _CLICKS}, lambda click: _take_click(key, click or {}, network, on_pick, on_place)),
    )
    if view.legend:
        st.html(legend_html(view.legend, wording()))
    st.caption(inputs.plain(alt))


def sensor_table(
    rows: pd.DataFrame, network: SensorNetwork, key: str, alt: str, decimals: int, nodes: Sequence[int] | None = None
) -> None:
    """A table with one row for each sensor; a click on a row makes it the sensor in view, several rows make a group.

    Args:
        rows: in the order of `nodes`, else of the network. network: N sensors. key: one per table of a page. alt: in words.
        decimals: digits after the point. nodes: of the rows.
    """

    def take(state: DataframeState) -> None:
        picked = [row if nodes is None else nodes[row] for row in state.selection.rows]
        if picked:
            view_state.set_param("sensor", network.ids[picked[-1]])
        if len(picked) > 1:
            inputs.choose(picked)

    inputs.table(rows, alt, decimals, key=key, on_select=accept({key: Rows(len(rows))}, take), selection_mode="multi-row")


class _Points:
    """Clicks on a figure: what was hit is one of the figure's points by its coordinates, which `on_click` compares with them."""

    def __contains__(self, state: Any) -> bool:
        return all(isinstance(point, dict) for point in state["selection"]["points"])


class _Clicks:
    """Clicks on a map: how many hit a sensor, the last place, and what was hit, whose ids are compared with those of the network."""

    def __contains__(self, click: Any) -> bool:
        if not click:
            return True
        count, place, hit = (click.get(name) for name in ("last_object_clicked_count", "last_clicked", "last_active_drawing"))
        is_place = not place or all(isinstance(place[at], int | float) and abs(place[at]) < FARTHEST for at in ("lat", "lng"))
        is_hit = not hit or isinstance(hit.get("properties") or {}, dict)
        return (count is None or isinstance(count, int)) and is_place and is_hit


_POINTS, _CLICKS = _Points(), _Clicks()


def _take_click(
    key: str,
    click: dict,
    network: SensorNetwork,
    on_pick: Callable[[list[int]], None] | None,
    on_place: Callable[[float, float], None] | None,
) -> None:
    count, place = click.get("last_object_clicked_count") or 0, click.get("last_clicked") or {}
    if on_place is not None:
        before = view_state.load(f"clicks-{key}", (0, {}))
        view_state.store(f"clicks-{key}", (count, place))
        if count == before[0]:  # no sensor was hit: the map itself was
            if place and place != before[1]:
                on_place(float(place["lat"]), float(place["lng"]))
            return
        view_state.set_param("place", "")
    facts = (click.get("last_active_drawing") or {}).get("properties") or {}
    caught = facts.get("lasso")
    if on_pick is not None:
        on_pick(inputs.nodes_of(caught if isinstance(caught, list) else [facts.get("id", "")], network))
        return
    if isinstance(caught, list):
        inputs.take_ids(caught, network)
        return
    sensor = str(facts.get("id", ""))
    if sensor in network.ids:
        view_state.set_param("sensor", sensor)


# Leaflet's own files, served from this host: without them a map stays blank behind a firewall, with no message.

# Declaring a component only opens a route to a folder: /component/<name>/<file>. The map's frame finds it as ASSET_BASE.
ROUTE = components.declare_component(ASSET_BASE.rsplit(".", 1)[-1], path=str(leaflet_assets()))
