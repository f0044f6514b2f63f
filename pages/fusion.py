"""What the forecast drew on: image, words, series and other sensors, with the measured effect of deletion."""

from stvlm.ui import frame, fusing, models, widgets
from stvlm.ui.words import say

frame.page("fusion")
series = widgets.need_series()
choice, window = models.pick(series, explains=True)
fusing.linked_views(choice, window)
frame.page_link("forecast", say("fusion.to_forecast"))
