"""Spanish."""

from __future__ import annotations

from dicomnode.results.wording.wording import Wording

WORDING = Wording(
    language="es",
    present="presente",
    absent="ausente",
    undetermined="indeterminado",
    probability="probabilidad {percent}",
    uncalibrated_score="puntuación no calibrada {percent}",
    at_or_above="en el punto de operación {percent} o por encima",
    below="por debajo del punto de operación {percent}",
    in_grey_zone="en la zona gris del punto de operación {percent}",
    no_finding="Ningún hallazgo alcanzó su punto de operación.",
    by="IA ({algorithm}): {sentence}",
    suggests="IA ({algorithm}) sugiere:",
    undetermined_names="Indeterminado: {names}.",
    below_is_not_absent="Un resultado por debajo del punto de operación no demuestra "
    "que el hallazgo esté ausente.",
    disclaimer=(
        "Resultado automático de IA, no verificado por un médico.",
        "Solo para investigación (Research use only). No para el diagnóstico primario.",
    ),
    not_analysed="No analizado: {reason}",
    no_opinion="IA ({algorithm}) no ha dado ninguna opinión sobre este estudio; esto "
    "no es un resultado negativo.",
    images_not_analysed="{count} de {total} imágenes no analizadas: {reason}",
    series_read="Analizado: {title}, {n_read} de {n_slices} cortes.",
    in_slices="cortes {numbers}, sobre todo corte {top}",
    replaces="Este informe sustituye a un informe anterior de IA sobre este estudio.",
    algorithm="Algoritmo: {algorithm}.",
    intended_use="Uso previsto: {use}",
    bundle="Bundle (SHA-256): {digest}",
    image_view="Proyección",
)
