"""French."""

from __future__ import annotations

from dicomnode.results.wording.wording import Wording

WORDING = Wording(
    language="fr",
    present="présent",
    absent="absent",
    undetermined="indéterminé",
    probability="probabilité {percent}",
    uncalibrated_score="score non calibré {percent}",
    at_or_above="au seuil de décision {percent} ou au-dessus",
    below="au-dessous du seuil de décision {percent}",
    in_grey_zone="dans la zone grise du seuil de décision {percent}",
    no_finding="Aucune anomalie n'a atteint son seuil de décision.",
    by="IA ({algorithm}) : {sentence}",
    suggests="IA ({algorithm}) suggère :",
    undetermined_names="Indéterminé : {names}.",
    below_is_not_absent="Un résultat au-dessous du seuil de décision ne prouve pas que "
    "l'anomalie est absente.",
    disclaimer=(
        "Résultat automatique d'une IA, non vérifié par un médecin.",
        "Réservé à la recherche (Research use only). Pas pour le diagnostic primaire.",
    ),
    not_analysed="Non analysé : {reason}",
    no_opinion="IA ({algorithm}) n'a donné aucun avis sur cet examen ; ce n'est pas un "
    "résultat négatif.",
    images_not_analysed="{count} images sur {total} non analysées : {reason}",
    series_read="Analysé : {title}, {n_read} coupes sur {n_slices}.",
    in_slices="coupes {numbers}, surtout coupe {top}",
    replaces="Ce compte rendu remplace un compte rendu antérieur de l'IA sur "
    "cet examen.",
    algorithm="Algorithme : {algorithm}.",
    intended_use="Usage prévu : {use}",
    bundle="Bundle (SHA-256) : {digest}",
    image_view="Incidence",
    colon=" : ",
)
