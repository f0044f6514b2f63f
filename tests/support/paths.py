"""Where the checkout and the real networks beside it lie."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHARED_DATA = ROOT.parent / "shared" / "data"
CHECKPOINTS = ROOT / "stvlm" / "assets" / "checkpoints"
