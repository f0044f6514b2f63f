"""How a forecast is made, in six steps on the readings in view."""

from stvlm.ui import frame, widgets

frame.page("learn")
series = widgets.need_series()
