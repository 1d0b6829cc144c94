"""At another hospital: 20 to 50 labelled local studies re-set a bundle's thresholds.

A threshold does not travel from one hospital to another, even when the ranking does.
Commissioning reads local labels, re-sets calibration and operating points of the heads
that have enough of them, adds the site's images to the domain, reports local figures
with intervals, and writes a site addendum beside the bundle, which never changes.
"""

from __future__ import annotations

from model.commission.labels import read_labels, rows_from_headers
from model.commission.series_labels import read_series_labels, rows_of
from model.commission.site import Commissioned, Stamp, addendum_name, commission
from model.data.manifest import ManifestError as LabelError

__all__ = [
    "Commissioned",
    "LabelError",
    "Stamp",
    "addendum_name",
    "commission",
    "read_labels",
    "read_series_labels",
    "rows_from_headers",
    "rows_of",
]
