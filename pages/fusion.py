"""What the forecast drew on: image, words, series and other sensors, with the measured effect of deletion."""

from stvlm.ui import frame, fusing, models, widgets

frame.page("fusion")
series = widgets.need_series()
choice, window = models.pick(series, explains=True)
fusing.linked_views(models.explanation(choice, window), models.is_anchor(choice, series))
frame.page_link("forecast", "Back to the forecast")
