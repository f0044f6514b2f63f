"""Fit a model to the network in view: start, watch, cancel, resume."""

from stvlm.ui import frame, runs, training, widgets

frame.page("train")
series = widgets.need_series()
runs.in_view()
training.new_run(series)
runs.every()
