"""The forecast of any cutoff on the map, over time and as a table, with bands and simple methods beside it."""

from stvlm.ui import forecasting, frame, models, rivals, widgets
from stvlm.ui.words import say

frame.page("forecast")
series = widgets.need_series()
choice, window = models.pick(series)
forecast = models.forecast(choice, window)
forecasting.about(choice, window, forecast)
forecasting.linked_views(choice, window, forecast, rivals.forecasts(window))
frame.page_link("fusion", say("forecast.to_fusion"))
