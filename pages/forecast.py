"""The forecast of any cutoff on the map, over time and as a table, with bands and simple methods beside it."""

from stvlm.ui.forecast import page
from stvlm.ui.services import forecasters
from stvlm.ui.shell import inputs, layout
from stvlm.ui.shell.i18n import t

layout.page("forecast")
series = inputs.need_series()
choice, window = forecasters.pick_forecast(series)
forecast = forecasters.forecast(choice, window)
page.about(choice, window, forecast)
page.linked_views(choice, window, forecast, forecasters.baseline_forecasts(window))
layout.page_link("fusion", t("forecast.to_fusion"))
