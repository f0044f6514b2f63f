"""How a forecast is made, in six steps on the readings in view: look, think, break it."""

from stvlm.ui import learn
from stvlm.ui.services import forecasters
from stvlm.ui.shell import inputs, layout

layout.page("learn")
learn.begin()
series = inputs.need_series()
choice, window = forecasters.pick_forecast(series, explains=True)
learn.lesson(choice, window)
learn.glossary()
