"""Who measures, where, and who is near whom: the sensor network."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.spatial import cKDTree

from stvlm.core.base_layer import WGS84

if TYPE_CHECKING:
    import geopandas

    from stvlm.core.base_layer import BaseLayer

EARTH_RADIUS_KM = 6371.0088  # mean radius, IUGG


@dataclass(frozen=True, eq=False)
class SensorNetwork:
    """The sensors of one network, in the order of every N axis.

    Attributes:
        ids: N unique texts ("01" stays "01").
        lat: (N,) float64, degrees north, WGS84.
        lon: (N,) float64, degrees east, WGS84.
        adjacency: (N, N) sparse closeness >= 0 without unit, row = from; None where none was given.
        facts: N rows of further columns (name, capacity, road ...) for prompts and tooltips; None where none were given.
        base_layer: lines, areas, grid that the network lies on; None where none were given.

    Raises:
        ValueError: ids not unique, shapes that differ, or a place outside the earth.
    """

    ids: tuple[str, ...]
    lat: np.ndarray
    lon: np.ndarray
    adjacency: sparse.csr_matrix | None = None
    facts: pd.DataFrame | None = None
    base_layer: BaseLayer | None = None

    def __post_init__(self) -> None:
        n = len(self.ids)
        object.__setattr__(self, "ids", tuple(str(i) for i in self.ids))
        object.__setattr__(self, "lat", np.asarray(self.lat, dtype="float64"))
        object.__setattr__(self, "lon", np.asarray(self.lon, dtype="float64"))
        if n == 0:
            raise ValueError("A sensor network needs at least one sensor.")
        if len(set(self.ids)) != n:
            raise ValueError("Sensor ids must be unique.")
        if self.lat.shape != (n,) or self.lon.shape != (n,):
            raise ValueError(f"lat and lon must have one value for each of the {n} sensors: {self.lat.shape}, {self.lon.shape}.")
        if not (np.isfinite(self.lat).all() and np.isfinite(self.lon).all()):
            raise ValueError("Every sensor needs a finite latitude and longitude.")
        if (np.abs(self.lat) > 90).any() or (np.abs(self.lon) > 180).any():
            raise ValueError("Latitudes must be in [-90, 90] and longitudes in [-180, 180].")
        if self.adjacency is not None and self.adjacency.shape != (n, n):
            raise ValueError(f"adjacency must be {n} x {n}, not {self.adjacency.shape}.")
        if self.facts is not None and len(self.facts) != n:
            raise ValueError(f"facts must have {n} rows, not {len(self.facts)}.")

    @property
    def n_sensors(self) -> int:
        """Number of sensors N."""
        return len(self.ids)

    @cached_property
    def centre(self) -> tuple[float, float]:
        """(lat, lon) in degrees: the mean direction of all sensors from the earth's centre, safe at the antimeridian."""
        x, y, z = _unit_vectors(self.lat, self.lon).mean(axis=0)
        return float(np.degrees(np.arctan2(z, np.hypot(x, y)))), float(np.degrees(np.arctan2(y, x)))

    @cached_property
    def unwrapped_lon(self) -> np.ndarray:
        """(N,) degrees east, continuous around the centre: may leave [-180, 180] where the network spans the antimeridian."""
        lon0 = self.centre[1]
        return lon0 + (self.lon - lon0 + 180) % 360 - 180

    @cached_property
    def position_km(self) -> np.ndarray:
        """(N, 2) float64, km east and north of the centre (equirectangular)."""
        lat0, lon0 = self.centre
        return project_km(self.lat, self.unwrapped_lon, lat0, lon0)

    @cached_property
    def half_extent_km(self) -> float:
        """The larger of the half extents east-west and north-south, in km; at least 0.05 km."""
        return float(max(np.abs(self.position_km - self.position_km.mean(axis=0)).max(), 0.05))

    def bounds(self, margin: float = 0.08) -> tuple[float, float, float, float]:
        """(west, south, east, north) in degrees around all sensors, square in km, `margin` (share of the side) wider.

        West and east may leave [-180, 180] at the antimeridian. The side is at least 1 km.
        """
        south, north = float(self.lat.min()), float(self.lat.max())
        west, east = float(self.unwrapped_lon.min()), float(self.unwrapped_lon.max())
        km_north = np.pi / 180 * EARTH_RADIUS_KM
        km_east = km_north * max(np.cos(np.radians((south + north) / 2)), 0.01)
        side_km = max((north - south) * km_north, (east - west) * km_east, 1.0) * (1 + 2 * margin)
        mid_lat, mid_lon = (south + north) / 2, (west + east) / 2
        half_lat, half_lon = side_km / 2 / km_north, side_km / 2 / km_east
        return (mid_lon - half_lon, max(mid_lat - half_lat, -90.0), mid_lon + half_lon, min(mid_lat + half_lat, 90.0))

    @cached_property
    def _tree(self) -> cKDTree:
        return cKDTree(_unit_vectors(self.lat, self.lon))

    def neighbours(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The k nearest other sensors of each sensor, nearest first.

        Args:
            k: how many; at most N - 1 are returned.

        Returns:
            index: (N, k) int64. distance_km: (N, k) float64, great circle.
        """
        k = min(k, self.n_sensors - 1)
        if k <= 0:
            return np.zeros((self.n_sensors, 0), dtype="int64"), np.zeros((self.n_sensors, 0))
        chord, index = self._tree.query(self._tree.data, k=k + 1)
        own = index == np.arange(self.n_sensors)[:, None]
        own[~own.any(axis=1), -1] = True  # co-located sensors may push a sensor out of its own list
        keep = ~own
        return index[keep].reshape(-1, k), _chord_to_km(chord[keep].reshape(-1, k))

    def nearest_to(self, lat: np.ndarray, lon: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The k sensors nearest to places.

        Args:
            lat: (P,) degrees. lon: (P,) degrees. k: how many; at most N.

        Returns:
            index: (P, k) int64. distance_km: (P, k) float64, great circle.
        """
        k = min(k, self.n_sensors)
        chord, index = self._tree.query(_unit_vectors(np.asarray(lat, "f8"), np.asarray(lon, "f8")), k=[*range(1, k + 1)])
        return index, _chord_to_km(chord)

    @cached_property
    def spacing_km(self) -> float:
        """Median distance in km from a sensor to its nearest other sensor; 1 km for a single sensor, at least 0.01 km."""
        _, distance = self.neighbours(1)
        return float(max(np.median(distance), 0.01)) if distance.size else 1.0

    def name(self, node: int) -> str:
        """What people call a sensor: its `name` fact, else its id."""
        return self._names[node]

    @cached_property
    def _names(self) -> tuple[str, ...]:
        if self.facts is None or "name" not in self.facts.columns:
            return self.ids
        given = zip(self.facts["name"], self.ids, strict=True)
        return tuple(name if isinstance(name, str) and name.strip() else identity for name, identity in given)

    def select(self, nodes: np.ndarray) -> SensorNetwork:
        """The network of some of the sensors, in the order given.

        Args:
            nodes: (K,) integer places on the N axis.
        """
        nodes = np.asarray(nodes)
        return SensorNetwork(
            ids=tuple(self.ids[i] for i in nodes),
            lat=self.lat[nodes],
            lon=self.lon[nodes],
            adjacency=None if self.adjacency is None else self.adjacency.tocsr()[nodes][:, nodes],
            facts=None if self.facts is None else self.facts.iloc[nodes].reset_index(drop=True),
            base_layer=self.base_layer,
        )

    def to_geodataframe(self) -> geopandas.GeoDataFrame:
        """The sensors as N points in WGS84: the column sensor_id, then the facts; without adjacency and base layer."""
        import geopandas  # takes a moment, and few ask for it

        facts = pd.DataFrame(index=range(self.n_sensors)) if self.facts is None else self.facts.reset_index(drop=True)
        facts = facts.rename(columns={name: f"fact {name}" for name in ("sensor_id", "geometry")})
        table = pd.concat([pd.Series(self.ids, name="sensor_id", dtype="str"), facts], axis=1)
        return geopandas.GeoDataFrame(table, geometry=geopandas.points_from_xy(self.lon, self.lat), crs=WGS84)

    @classmethod
    def from_geodataframe(cls, frame: geopandas.GeoDataFrame, sensor_id: str = "sensor_id") -> SensorNetwork:
        """A network of points in any coordinate system.

        Args:
            frame: N rows with a point each; the other columns become facts.
            sensor_id: the column with the ids.

        Raises:
            ValueError: no such column, no coordinate system, a row without a point, or what `SensorNetwork` refuses.
        """
        if sensor_id not in frame.columns:
            raise ValueError(f"There is no column {sensor_id!r}; there are {', '.join(map(str, frame.columns))}.")
        if frame.crs is None:
            raise ValueError("The table states no coordinate system. Set it first: frame.set_crs(4326).")
        points = frame.geometry.to_crs(WGS84)
        if not (points.geom_type == "Point").all() or points.is_empty.any():
            raise ValueError("Every row must have a point.")
        facts = pd.DataFrame(frame.drop(columns=[sensor_id, frame.geometry.name])).reset_index(drop=True)
        ids = tuple(frame[sensor_id].astype("str"))
        return cls(ids, points.y.to_numpy(), points.x.to_numpy(), facts=facts if len(facts.columns) else None)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of ids, places, closeness, facts and base layer: the key of caches and manifests."""
        digest = hashlib.sha256("\0".join(self.ids).encode())
        digest.update(self.lat.tobytes() + self.lon.tobytes())
        if self.adjacency is not None:
            a = self.adjacency.tocoo()
            digest.update(a.row.tobytes() + a.col.tobytes() + np.asarray(a.data, "f8").tobytes())
        if self.facts is not None:
            digest.update(self.facts.to_csv(index=False).encode())
        if self.base_layer is not None:
            digest.update(self.base_layer.fingerprint.encode())
        return digest.hexdigest()


def project_km(lat: np.ndarray, lon: np.ndarray, lat0: float, lon0: float) -> np.ndarray:
    """(..., 2) float64, km east and north of (lat0, lon0), equirectangular; exact north-south, good to 1 % within 500 km east-west."""
    km = np.pi / 180 * EARTH_RADIUS_KM
    return np.stack([(lon - lon0) * km * max(np.cos(np.radians(lat0)), 0.01), (lat - lat0) * km], axis=-1)


def _unit_vectors(lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    lat, lon = np.radians(lat), np.radians(lon)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def _chord_to_km(chord: np.ndarray) -> np.ndarray:
    return 2 * EARTH_RADIUS_KM * np.arcsin(np.clip(chord / 2, 0, 1))
