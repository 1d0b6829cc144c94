"""German."""

from __future__ import annotations

from dicomnode.results.wording.wording import Wording

WORDING = Wording(
    language="de",
    present="vorhanden",
    absent="nicht vorhanden",
    undetermined="unbestimmt",
    probability="Wahrscheinlichkeit {percent}",
    uncalibrated_score="unkalibrierter Wert {percent}",
    at_or_above="am oder über dem Arbeitspunkt {percent}",
    below="unter dem Arbeitspunkt {percent}",
    in_grey_zone="in der Grauzone des Arbeitspunkts {percent}",
    no_finding="Kein Befund hat seinen Arbeitspunkt erreicht.",
    by="KI ({algorithm}): {sentence}",
    suggests="KI ({algorithm}) weist hin auf:",
    undetermined_names="Unbestimmt: {names}.",
    below_is_not_absent="Ein Ergebnis unter dem Arbeitspunkt beweist nicht, dass der "
    "Befund nicht vorhanden ist.",
    disclaimer=(
        "Automatisches KI-Ergebnis, nicht ärztlich geprüft.",
        "Nur zu Forschungszwecken (Research use only). Nicht für die Primärbefundung.",
    ),
    not_analysed="Nicht analysiert: {reason}",
    no_opinion="KI ({algorithm}) hat zu dieser Studie keine Aussage gemacht; das ist "
    "kein negatives Ergebnis.",
    images_not_analysed="{count} von {total} Bildern nicht analysiert: {reason}",
    series_read="Analysiert: {title}, {n_read} von {n_slices} Schichten.",
    in_slices="Schichten {numbers}, am meisten in Schicht {top}",
    replaces="Dieser Bericht ersetzt einen früheren KI-Bericht zu dieser Studie.",
    algorithm="Algorithmus: {algorithm}.",
    intended_use="Zweckbestimmung: {use}",
    bundle="Bundle (SHA-256): {digest}",
    image_view="Aufnahmerichtung",
)
