"""Arrays as pictures: PNG bytes, pictures that lie right on a web map, smooth heat layers."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from stvlm.charts.maps.basemap import MERCATOR_LATITUDE, Bounds
from stvlm.charts.scale import Scale
from stvlm.charts.style import HEAT

LEAST_PIXELS = 256
MAP_PIXELS = 512


def image_png(array: np.ndarray, least_pixels: int = LEAST_PIXELS) -> bytes:
    """A picture as PNG, enlarged by whole pixels until its shorter side has at least `least_pixels`.

    Args:
        array: (3, G, G) or (4, G, G), or (G, G), (G, G, 3) or (G, G, 4); float in 0..1 or uint8; row 0 at the top.
        least_pixels: of the shorter side.

    Raises:
        ValueError: for another shape.
    """
    array = np.asarray(array)
    if array.ndim == 3 and array.shape[0] in (3, 4) and array.shape[2] not in (3, 4):
        array = np.moveaxis(array, 0, -1)  # (G, G, channels)
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise ValueError(f"A picture is (3, G, G), (G, G, 3), (G, G, 4) or (G, G), not {array.shape}.")
    if array.dtype != np.uint8:
        array = (np.clip(np.nan_to_num(array.astype("f8")), 0, 1) * 255).round().astype("uint8")
    times = max(1, -(-least_pixels // min(array.shape[:2])))
    array = np.ascontiguousarray(array.repeat(times, axis=0).repeat(times, axis=1))
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format="PNG")
    return buffer.getvalue()


def colour_field(field: np.ndarray, scale: Scale, smooth: bool = False, opacity: float = 1.0) -> np.ndarray:
    """A field as colours, at least 512 pixels high.

    Args:
        field: (G, G) in the unit of the scale, row 0 in the north; NaN is transparent.
        scale: colours.
        smooth: blend between pixels; else every pixel stays a crisp square.
        opacity: 0..1.

    Returns:
        (R, R, 4) uint8.
    """
    times = max(1, -(-MAP_PIXELS // min(field.shape)))
    if not smooth:
        return scale.rgba(field, opacity).repeat(times, axis=0).repeat(times, axis=1)
    known = np.isfinite(field)
    large = enlarge(np.where(known, field, field[known].mean() if known.any() else 0.0), times)
    large[~known.repeat(times, axis=0).repeat(times, axis=1)] = np.nan
    return scale.rgba(large, opacity)


def heat(weights: np.ndarray, scale: Scale) -> np.ndarray:
    """A smooth layer of heat that is transparent where the weights are low.

    Args:
        weights: (g, g) in the unit of the scale, row 0 in the north.
        scale: its low end is wholly transparent.

    Returns:
        (R, R, 4) uint8.
    """
    large = np.maximum(enlarge(weights, max(1, -(-MAP_PIXELS // min(weights.shape)))), 0)
    rgba = scale.rgba(large)
    rgba[..., 3] = (215 * scale.position(large) ** 0.8).round().astype("uint8")
    return rgba


def heat_scale(percent: np.ndarray, theme: str) -> Scale:
    """0 up to the largest share, and at least up to three times the even share, so that even attention looks pale.

    Args:
        percent: (g, g) shares in %, which sum to 100.
        theme: "light" or "dark": the highest share stands out most from the land.
    """
    return Scale(0.0, max(float(percent.max()), 300.0 / percent.size), HEAT if theme == "light" else HEAT[::-1])


def enlarge(field: np.ndarray, times: int) -> np.ndarray:
    """(R, C) float64 field, blended between its pixels, `times` as many rows and columns."""
    image = Image.fromarray(np.asarray(field, "float32"))
    size = (field.shape[1] * times, field.shape[0] * times)
    return np.asarray(image.resize(size, Image.Resampling.BICUBIC), dtype="float64").copy()


def on_map(rgba: np.ndarray, bounds: Bounds) -> tuple[str, Bounds]:
    """A picture with rows at equal latitudes, made ready for a web map, whose rows are not.

    Args:
        rgba: (R, C, 4) uint8 or float in 0..1, row 0 in the north.
        bounds: (west, south, east, north) in degrees of its outer edges.

    Returns:
        url: a PNG as a data: address. bounds: of the picture, cut off where the web map ends (85 degrees).
    """
    west, south, east, north = bounds
    shown = (west, max(south, -MERCATOR_LATITUDE), east, min(north, MERCATOR_LATITUDE))
    n_rows = max(rgba.shape[0], MAP_PIXELS)
    edges = np.linspace(_mercator(shown[3]), _mercator(shown[1]), n_rows + 1)
    latitude = np.degrees(2 * np.arctan(np.exp((edges[:-1] + edges[1:]) / 2)) - np.pi / 2)
    row = np.clip((north - latitude) / (north - south) * rgba.shape[0], 0, rgba.shape[0] - 1).astype("int64")
    png = image_png(rgba[row], least_pixels=1)
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii"), shown


def _mercator(latitude: float) -> float:
    return float(np.log(np.tan(np.pi / 4 + np.radians(latitude) / 2)))
