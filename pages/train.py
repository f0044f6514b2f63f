"""Fit a model to the network in view: start, watch, cancel, resume."""

from stvlm.ui import train
from stvlm.ui.shell import inputs, layout

layout.page("train")
series = inputs.need_series()
train.in_view()
train.new_run(series)
train.every()
