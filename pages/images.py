"""What the model sees: the network of one moment painted as images."""

from stvlm.ui import frame, models, seeing, widgets

frame.page("images")
series = widgets.need_series()
choice, window = models.pick(series)
seeing.pictures(choice, window)
