"""An image as a picture that a GIS puts in its place: PNG, world file and projection, in one archive."""

from __future__ import annotations

import io
import zipfile

import numpy as np

from stvlm.charts.basemap import Bounds
from stvlm.charts.images import image_png
from stvlm.charts.scale import Scale

WGS84 = (
    'GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563]],PRIMEM["Greenwich",0],'
    'UNIT["degree",0.0174532925199433]]'
)


def world_file(bounds: Bounds, shape: tuple[int, int]) -> str:
    """The six lines of a world file: width of a pixel, two turns, minus its height, longitude and latitude of the first centre.

    Args:
        bounds: (west, south, east, north) in degrees of the outer edges. shape: (rows, columns) of the picture.
    """
    west, south, east, north = bounds
    width, height = (east - west) / shape[1], (north - south) / shape[0]
    lines = (width, 0.0, 0.0, -height, west + width / 2, north - height / 2)
    return "".join(f"{number:.12f}\n" for number in lines)


def georeferenced_zip(array: np.ndarray, bounds: Bounds, scale: Scale, name: str, about: str) -> bytes:
    """A zip archive with the picture, its world file, its projection and a text that says what the colours mean.

    Args:
        array: (G, G), row 0 in the north; NaN is transparent. bounds: (west, south, east, north) in degrees of its outer edges.
        scale: colours. name: of the files, without ending. about: what is shown, in words.
    """
    picture = scale.rgba(np.asarray(array, "f8"))  # a pixel of the file is a pixel of the image
    meaning = f"{about}\nColours from {scale.low:.6g} to {scale.high:.6g}: {', '.join(scale.stops)}\nNorth is up. WGS 84.\n"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{name}.png", image_png(picture, least_pixels=1))
        archive.writestr(f"{name}.pgw", world_file(bounds, array.shape))
        archive.writestr(f"{name}.prj", WGS84)
        archive.writestr(f"{name}.txt", meaning)
    return buffer.getvalue()
