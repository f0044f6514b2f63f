"""What the forecast drew on: image, words, series and other sensors, with the measured effect of deletion."""

from stvlm.ui import fusion
from stvlm.ui.services import forecasters
from stvlm.ui.shell import inputs, layout
from stvlm.ui.shell.i18n import t

layout.page("fusion")
series = inputs.need_series()
choice, window = forecasters.pick_forecast(series, explains=True)
fusion.linked_views(choice, window)
layout.page_link("forecast", t("fusion.to_forecast"))
