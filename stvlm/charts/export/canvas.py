"""A still picture as a list of shapes, drawn as SVG or as pixels: for reports, PNG files and animations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from stvlm.core.escape import html as escape

FINE = 2  # pixels are drawn so many times finer, then averaged, so that edges are smooth


@dataclass(frozen=True, eq=False)
class Area:
    """A filled polygon: outer ring (K, 2) in pixels and holes; `opacity` 0..1 of the fill."""

    rings: Sequence[np.ndarray]
    fill: str
    opacity: float = 1.0


@dataclass(frozen=True, eq=False)
class Line:
    """A line through (K, 2) places in pixels; `dash` is (on, off) in pixels, or () for an unbroken one."""

    points: np.ndarray
    colour: str
    width: float = 1.0
    dash: tuple[float, float] | tuple[()] = ()


@dataclass(frozen=True, eq=False)
class Dot:
    """A circle; `fill` "" leaves it hollow, `title` is what a browser shows when hovering, `mark` names it for scripts."""

    x: float
    y: float
    radius: float
    fill: str
    edge: str = ""
    width: float = 1.0
    title: str = ""
    mark: str = ""


@dataclass(frozen=True, eq=False)
class Word:
    """A text whose middle height is at y; `anchor` is start, middle or end of the text at x; `mark` names it for scripts."""

    x: float
    y: float
    text: str
    colour: str
    size: float = 12.0
    anchor: str = "start"
    bold: bool = False
    mark: str = ""


@dataclass(frozen=True, eq=False)
class Scene:
    """Shapes in the order in which they are drawn.

    Attributes:
        width, height: in pixels. background: colour. title: the picture in words. shapes: from back to front.
    """

    width: int
    height: int
    background: str
    title: str
    shapes: list[Area | Line | Dot | Word] = field(default_factory=list)


def scene_svg(scene: Scene) -> str:
    """The picture as SVG for the inside of a page; every text of it is escaped."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {scene.width} {scene.height}" role="img" '
        f'aria-label="{escape(scene.title, quote=True)}" font-family="sans-serif">',
        f'<rect width="{scene.width}" height="{scene.height}" fill="{scene.background}"/>',
        *(_svg_of(shape) for shape in scene.shapes),
        "</svg>",
    ]
    return "".join(parts)


def scene_image(scene: Scene, times: float = 1.0) -> Image.Image:
    """The picture as pixels, RGB; `times` as many in each direction."""
    fine = FINE * times
    image = Image.new("RGB", (round(scene.width * fine), round(scene.height * fine)), scene.background)
    draw = ImageDraw.Draw(image, "RGBA")  # so that see-through fills mix with what lies below
    for shape in scene.shapes:
        _paint(draw, shape, fine)
    return image.resize((round(scene.width * times), round(scene.height * times)), Image.Resampling.BOX)


def _svg_of(shape: Area | Line | Dot | Word) -> str:
    mark = f' data-mark="{escape(shape.mark, quote=True)}"' if getattr(shape, "mark", "") else ""
    if isinstance(shape, Area):
        path = "".join("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in ring) + "Z" for ring in shape.rings)
        return f'<path d="{path}" fill="{shape.fill}" fill-opacity="{shape.opacity:g}" fill-rule="evenodd"/>'
    if isinstance(shape, Line):
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in shape.points)
        dash = f' stroke-dasharray="{shape.dash[0]:g} {shape.dash[1]:g}"' if shape.dash else ""
        return f'<polyline points="{points}" fill="none" stroke="{shape.colour}" stroke-width="{shape.width:g}"{dash}/>'
    if isinstance(shape, Dot):
        edge = f' stroke="{shape.edge}" stroke-width="{shape.width:g}"' if shape.edge else ""
        title = f"<title>{escape(shape.title)}</title>" if shape.title else ""
        place = f'cx="{shape.x:.1f}" cy="{shape.y:.1f}" r="{shape.radius:g}"'
        return f'<circle {place} fill="{shape.fill or "none"}"{edge}{mark}>{title}</circle>'
    weight = ' font-weight="600"' if shape.bold else ""
    place = f'x="{shape.x:.1f}" y="{shape.y:.1f}" dominant-baseline="central" text-anchor="{shape.anchor}"'
    return f'<text {place} fill="{shape.colour}" font-size="{shape.size:g}"{weight}{mark}>{escape(shape.text)}</text>'


def _paint(draw: ImageDraw.ImageDraw, shape: Area | Line | Dot | Word, fine: float) -> None:
    if isinstance(shape, Area):
        _paint_area(draw, shape, fine)
    elif isinstance(shape, Line):
        width = max(1, round(shape.width * fine))
        for piece in _dashes(np.asarray(shape.points, "f8") * fine, [length * fine for length in shape.dash]):
            draw.line([tuple(p) for p in piece], fill=shape.colour, width=width, joint="curve")
    elif isinstance(shape, Dot):
        r = shape.radius * fine
        box = (shape.x * fine - r, shape.y * fine - r, shape.x * fine + r, shape.y * fine + r)
        width = max(1, round(shape.width * fine)) if shape.edge else 0
        draw.ellipse(box, fill=shape.fill or None, outline=shape.edge or None, width=width)
    else:
        font = _font(round(shape.size * fine), shape.bold)
        anchor = {"start": "lm", "middle": "mm", "end": "rm"}[shape.anchor]
        text = shape.text.replace("\n", " ").replace("\r", " ")
        draw.text((shape.x * fine, shape.y * fine), text, fill=shape.colour, font=font, anchor=anchor)


def _paint_area(draw: ImageDraw.ImageDraw, area: Area, fine: float) -> None:
    """Fill a polygon; holes are cut by a mask, for Pillow's polygons have none."""
    rgb = tuple(int(area.fill[i : i + 2], 16) for i in (1, 3, 5))
    rings = [[tuple(p) for p in np.asarray(ring, "f8") * fine] for ring in area.rings if len(ring) > 2]
    if not rings:
        return
    if len(rings) == 1:
        draw.polygon(rings[0], fill=(*rgb, round(255 * area.opacity)))
        return
    mask = Image.new("L", draw.im.size, 0)
    cut = ImageDraw.Draw(mask)
    for place, ring in enumerate(rings):
        cut.polygon(ring, fill=0 if place else round(255 * area.opacity))
    draw.bitmap((0, 0), mask, fill=rgb)


def _dashes(points: np.ndarray, dash: Sequence[float]) -> list[np.ndarray]:
    """A line (K, 2) cut into its dashes; the line itself without `dash`."""
    if len(dash) == 0 or len(points) < 2:
        return [points] if len(points) > 1 else []
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    pieces = []
    for start in np.arange(0, along[-1], dash[0] + dash[1]):
        stop = min(start + dash[0], along[-1])
        inside = along[(along > start) & (along < stop)]
        where = np.concatenate([[start], inside, [stop]])
        pieces.append(np.stack([np.interp(where, along, points[:, axis]) for axis in (0, 1)], axis=-1))
    return pieces


@lru_cache(maxsize=32)
def _font(size: int, bold: bool) -> ImageFont.FreeTypeFont:
    """The app's own letters, which know most Latin, Greek and Cyrillic signs; Pillow's plain ones where they are not there."""
    spec = find_spec("streamlit")  # finds without importing
    folder = Path(spec.origin).parent / "static" / "static" / "media" if spec and spec.origin else Path()
    for path in sorted(folder.glob("SourceSansVF-Upright*")):
        font = ImageFont.truetype(str(path), size)
        font.set_variation_by_axes([600 if bold else 400])
        return font
    return ImageFont.load_default(size)
