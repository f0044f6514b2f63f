"""Fit a model to the network in view: start, watch, cancel, resume."""

from stvlm.ui import frame, training, widgets

frame.page("train")
series = widgets.need_series()
training.run_in_view()
training.new_run(series)
training.run_list()
