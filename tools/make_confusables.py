"""Write stvlm/assets/unicode/confusables.json from the tables of ICU: `pip install icukit-pyicu && python tools/make_confusables.py`."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import icu

OUT = Path(__file__).resolve().parents[1] / "stvlm" / "assets" / "unicode" / "confusables.json"
BLANK = re.compile(r"BRAILLE PATTERN BLANK|EGYPTIAN HIEROGLYPH (FULL|HALF) BLANK|MUSICAL SYMBOL NULL NOTEHEAD")  # drawn as nothing


def is_invisible(point: int) -> bool:
    """Whether Unicode has it drawn as nothing: Default_Ignorable_Code_Point, or blank by its name."""
    is_ignorable = icu.Char.hasBinaryProperty(point, icu.UProperty.DEFAULT_IGNORABLE_CODE_POINT)
    return is_ignorable or bool(BLANK.fullmatch(icu.Char.charName(point)))


def ranges(points: Iterable[int]) -> list[list[int]]:
    """Numbers in rising order as [first, last] of each run."""
    found: list[list[int]] = []
    for point in points:
        if found and found[-1][1] == point - 1:
            found[-1][1] = point
        else:
            found.append([point, point])
    return found


def prototypes() -> dict[str, str]:
    """What characters look like by UTS 39 -> those characters, as far as they are left when a text is in the forms NFKC and NFD."""
    checker, found = icu.SpoofChecker(), defaultdict(str)
    compatible, canonical = icu.Normalizer2.getNFKCInstance(), icu.Normalizer2.getNFDInstance()
    for point in range(0x110000):
        if 0xD800 <= point <= 0xDFFF or is_invisible(point):
            continue
        sign = chr(point)
        shape = checker.getSkeleton(0, sign)
        if shape != sign and canonical.normalize(compatible.normalize(sign)) == sign:
            found[shape] += sign
    return dict(sorted(found.items()))


if __name__ == "__main__":
    invisible = ranges(point for point in range(0x110000) if is_invisible(point))
    tables = {"unicode": icu.UNICODE_VERSION, "invisible": invisible, "prototypes": prototypes()}
    OUT.write_text(json.dumps(tables, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")
