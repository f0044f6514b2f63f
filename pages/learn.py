"""How a forecast is made, in six steps on the readings in view: look, think, break it."""

from stvlm.ui import frame, learn, models, widgets

frame.page("learn")
learn.begin()
series = widgets.need_series()
choice, window = models.pick(series, explains=True)
learn.lesson(choice, window)
learn.glossary()
