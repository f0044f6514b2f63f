"""Choose or upload a network; see what is wrong with it, where it has gaps, and what it looks like."""

from stvlm.ui import dropping, frame, overview, widgets

frame.page("data")
if overview.own_files():
    dropping.take()
else:
    overview.choose()
    series = widgets.need_series()
    overview.figures(series)
    overview.quality_report()
    overview.where_and_when(series)
