"""Choose or upload a network; see what is wrong with it, where it has gaps, and what it looks like."""

from stvlm.ui.data import page, upload_form
from stvlm.ui.shell import inputs, layout

layout.page("data")
if page.own_files():
    upload_form.render()
else:
    page.choose()
    series = inputs.need_series()
    page.figures(series)
    page.quality_report()
    page.where_and_when(series)
