"""Does today's input look like the input the model was made with? Drift, by windows.

A reference holds, for each watched value, how its home values fall into bins of equal
mass. In service values come in windows of `WINDOW` images. A window is compared with
the reference by PSI (population stability index) and KS (largest difference of the
cumulative shares). With so few images the usual rule of thumb (PSI 0.25) would alarm
all the time, so the limits are computed: what one home window in `1 / FALSE_RATE`
exceeds by chance, given how many images the reference itself has. Rates (images
outside the domain, undetermined answers) have binomial limits of the same kind. An
alarm needs two windows in a row. With 16 images a window, two whole windows lie within
any 48 images, so a clear shift is flagged within 50 studies whenever it begins.

Numpy only; holds values, never images or identities. Everything is JSON.
"""

from model.monitor.reference import WINDOW, Feature, Reference, build_reference
from model.monitor.windows import (
    OUTSIDE,
    UNDETERMINED,
    Alarm,
    Monitor,
    Observed,
)

__all__ = [
    "OUTSIDE",
    "UNDETERMINED",
    "WINDOW",
    "Alarm",
    "Feature",
    "Monitor",
    "Observed",
    "Reference",
    "build_reference",
]
