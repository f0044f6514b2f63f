"""Leaflet's own files, served from this host: without them a map stays blank behind a firewall, with no message."""

import streamlit.components.v1 as components

from stvlm.charts.offline import ASSET_BASE, leaflet_assets

# Declaring a component only opens a route to a folder: /component/<name>/<file>. The map's frame finds it as ASSET_BASE.
ROUTE = components.declare_component(ASSET_BASE.rsplit(".", 1)[-1], path=str(leaflet_assets()))
