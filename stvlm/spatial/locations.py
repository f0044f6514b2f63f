"""Places to forecast for: where they lie, and what is known of them besides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import shapely

from stvlm.core.network import SensorNetwork, project_km

FEWEST_VALUES = 4  # different ones, for a column to say anything
MOST_GAPS = 0.2


@dataclass(frozen=True, eq=False)
class Locations:
    """M places on earth.

    Attributes:
        lat, lon: (M,) degrees. columns: names of numbers known of every sensor and place. here, there: (N, C) and (M, C) those
            numbers at the sensors and at the places. links: (M, N) closeness >= 0 to the sensors, or None.
    """

    lat: np.ndarray
    lon: np.ndarray
    columns: tuple[str, ...] = ()
    here: np.ndarray | None = None
    there: np.ndarray | None = None
    links: np.ndarray | None = None

    def position_km(self, network: SensorNetwork) -> np.ndarray:
        """(M, 2) km east and north of the network's centre."""
        lat0, lon0 = network.centre
        return project_km(np.asarray(self.lat, "f8"), lon0 + (np.asarray(self.lon, "f8") - lon0 + 180) % 360 - 180, lat0, lon0)


def locations_of(
    network: SensorNetwork,
    places: np.ndarray,
    keep: np.ndarray,
    columns: tuple[str, ...] = (),
    judges: np.ndarray | None = None,
) -> Locations:
    """Some sensors of a network as places among others of it.

    Args:
        network: all of them. places: (M,) that become places. keep: (N,) that stay sensors.
        columns: what of them may be used: some of "facts", "links", "ground". judges: as in `known_columns`.
    """
    known = known_columns(network, columns, judges)
    links = None
    if "links" in columns and network.adjacency is not None:
        closeness = network.adjacency.tocsr()
        links = np.asarray(closeness[places][:, keep].maximum(closeness[keep][:, places].T).todense(), "f8")
    table = np.stack([*known.values()], axis=1) if known else None
    here, there = (None, None) if table is None else (table[keep], table[places])
    return Locations(network.lat[places], network.lon[places], tuple(known), here, there, links)


def locations_at(network: SensorNetwork, lat: np.ndarray, lon: np.ndarray, columns: tuple[str, ...] = ()) -> Locations:
    """Places given by their coordinates: what is known of them is the ground alone."""
    here, there = (ground_columns(network, *at) if "ground" in columns else {} for at in ((network.lat, network.lon), (lat, lon)))
    at_sensors, at_places = (np.stack([*t.values()], axis=1) if t else None for t in (here, there))
    return Locations(np.asarray(lat, "f8"), np.asarray(lon, "f8"), tuple(here), at_sensors, at_places)


def known_columns(network: SensorNetwork, columns: tuple[str, ...], judges: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Numbers (N,) without gaps that may tell how sensors differ: numeric facts, also as logarithms, and the ground below.

    Args:
        network: N sensors. columns: some of "facts" and "ground".
        judges: (K,) sensors by which it is decided which columns there are, how their gaps are filled and where their logarithm
            begins; None for all. They are those on which the use of a column is learnt: other sensors change no column then.
    """
    judges = np.arange(network.n_sensors) if judges is None else judges
    found: dict[str, np.ndarray] = {}
    if "facts" in columns and network.facts is not None:
        ids = np.array(network.ids)[judges].tolist()
        for name in network.facts.columns:
            values = pd.to_numeric(network.facts[name], errors="coerce").to_numpy("f8")
            values = np.where(np.isfinite(values), values, np.nan)
            judged = values[judges][np.isfinite(values[judges])]
            is_name = name == "name" or network.facts[name].iloc[judges].astype("str").tolist() == ids
            if is_name or len(judged) < (1 - MOST_GAPS) * len(judges) or len(np.unique(judged)) < FEWEST_VALUES:
                continue
            middle = float(np.median(judged))
            found[name] = np.where(np.isnan(values), middle, values)
            if judged.min() >= 0 and middle > 0:
                found[f"log {name}"] = np.log(np.maximum(found[name], 0) + 0.05 * middle)
    if "ground" in columns:
        ground = ground_columns(network, network.lat, network.lon)
        found |= {name: values for name, values in ground.items() if len(np.unique(values[judges])) > 1}
    return found


def ground_columns(network: SensorNetwork, lat: np.ndarray, lon: np.ndarray) -> dict[str, np.ndarray]:
    """What the base layer says of places (M,): whether they lie in its areas, and the value of its grid (its mean where it has none)."""
    layer = network.base_layer
    if layer is None:
        return {}
    found = {}
    if not layer.areas.is_empty:
        tree = shapely.STRtree(shapely.get_parts(layer.areas))
        inside = np.zeros(len(lat))
        inside[tree.query(shapely.points(lon, lat), predicate="intersects")[0]] = 1.0
        found[f"in {layer.name or 'an area'}"] = inside
    if layer.grid is not None:
        values = layer.grid.at(np.asarray(lat, "f8"), np.asarray(lon, "f8"))
        cells = layer.grid.values[np.isfinite(layer.grid.values)]
        found[layer.grid.name] = np.where(np.isfinite(values), values, cells.mean() if cells.size else 0.0)
    return found


def columns_of(network: SensorNetwork, sites: Locations, names: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The columns of a drift at sensors (N, C) and places (M, C): those of the sites, or "east" and "north" in half extents.

    Raises:
        ValueError: a column that is not known of these places.
    """
    unknown = [name for name in names if name not in (*sites.columns, "east", "north")]
    if unknown:
        raise ValueError(f"Of these places it is not known: {', '.join(unknown)}.")
    position = (network.position_km / network.half_extent_km, sites.position_km(network) / network.half_extent_km)
    picked = []
    for axis, table in zip(position, (sites.here, sites.there), strict=True):
        ways = {"east": axis[:, 0], "north": axis[:, 1]}
        ways |= {} if table is None else dict(zip(sites.columns, table.T, strict=True))
        picked.append(np.stack([ways[name] for name in names], axis=1))
    return picked[0], picked[1]


def spatial_folds(network: SensorNetwork, n_folds: int) -> list[np.ndarray]:
    """Sensors in folds such that each fold is spread over the network: along a line from west to east, every so-manieth."""
    order = np.lexsort((np.arange(network.n_sensors), network.position_km[:, 1], network.position_km[:, 0]))
    shuffled = np.random.default_rng(0).permutation(n_folds)
    return [np.sort(order[start::n_folds]) for start in shuffled]
