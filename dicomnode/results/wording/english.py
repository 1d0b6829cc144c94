"""English."""

from __future__ import annotations

from dicomnode.results.wording.wording import Wording

WORDING = Wording(
    language="en",
    present="present",
    absent="absent",
    undetermined="undetermined",
    probability="probability {percent}",
    uncalibrated_score="uncalibrated score {percent}",
    at_or_above="at or above operating point {percent}",
    below="below operating point {percent}",
    in_grey_zone="in the grey zone of operating point {percent}",
    no_finding="No finding reached its operating point.",
    by="AI ({algorithm}): {sentence}",
    suggests="AI ({algorithm}) suggests:",
    undetermined_names="Undetermined: {names}.",
    below_is_not_absent="A result below its operating point does not prove that the "
    "finding is absent.",
    disclaimer=(
        "Automated AI result, not verified by a physician.",
        "Research use only. Not for primary diagnosis.",
    ),
    not_analysed="Not analysed: {reason}",
    no_opinion="AI ({algorithm}) has given no opinion on this study; this is not a "
    "negative result.",
    images_not_analysed="{count} of {total} images not analysed: {reason}",
    series_read="Analysed: {title}, {n_read} of {n_slices} slices.",
    in_slices="slices {numbers}, most in slice {top}",
    replaces="This report replaces an earlier AI report on this study.",
    algorithm="Algorithm: {algorithm}.",
    intended_use="Intended use: {use}",
    bundle="Bundle (SHA-256): {digest}",
    image_view="Image View",
)
