"""What quality control finds, by our own codes: no standard has them."""

from __future__ import annotations

from dicomnode.domain.findings import Code
from dicomnode.results.codes import PRIVATE_SCHEME
from dicomnode.results.terms import Term, names_in


def _quality(value: str, label: str, meaning: str, names: dict[str, str]) -> Term:
    code = Code(value, PRIVATE_SCHEME, meaning)
    return Term(label, code, "our own, no standard code", value, names=names)


QUALITY = (
    _quality(
        "QC-ROT90",
        "rotated-90",
        "Image rotated 90 degrees clockwise",
        names_in(
            "Bild um 90 Grad im Uhrzeigersinn gedreht",
            "Image tournée de 90 degrés dans le sens horaire",
            "Imagen girada 90 grados en sentido horario",
            "图像顺时针旋转90度",
            "画像が時計回りに90度回転",
        ),
    ),
    _quality(
        "QC-ROT180",
        "rotated-180",
        "Image rotated 180 degrees",
        names_in(
            "Bild um 180 Grad gedreht",
            "Image tournée de 180 degrés",
            "Imagen girada 180 grados",
            "图像旋转180度",
            "画像が180度回転",
        ),
    ),
    _quality(
        "QC-ROT270",
        "rotated-270",
        "Image rotated 270 degrees clockwise",
        names_in(
            "Bild um 270 Grad im Uhrzeigersinn gedreht",
            "Image tournée de 270 degrés dans le sens horaire",
            "Imagen girada 270 grados en sentido horario",
            "图像顺时针旋转270度",
            "画像が時計回りに270度回転",
        ),
    ),
    _quality(
        "QC-INV",
        "inverted",
        "Grey scale inverted",
        names_in(
            "Grauwerte invertiert",
            "Niveaux de gris inversés",
            "Escala de grises invertida",
            "灰度反转",
            "階調反転",
        ),
    ),
    _quality(
        "QC-MIRROR",
        "mirrored",
        "Image mirrored left to right",
        names_in(
            "Bild seitenverkehrt",
            "Image inversée gauche-droite",
            "Imagen invertida de izquierda a derecha",
            "图像左右镜像",
            "画像が左右反転",
        ),
    ),
    _quality(
        "QC-VIEWMISMATCH",
        "view-differs-from-header",
        "View differs from View Position",
        names_in(
            "Aufnahmerichtung weicht von View Position ab",
            "L'incidence diffère de View Position",
            "La proyección difiere de View Position",
            "投照体位与View Position不一致",
            "撮影方向がView Positionと不一致",
        ),
    ),
    _quality(
        "QC-EXPOSURE",
        "exposure",
        "Image too dark or too bright",
        names_in(
            "Bild zu dunkel oder zu hell",
            "Image trop sombre ou trop claire",
            "Imagen demasiado oscura o clara",
            "图像过暗或过亮",
            "画像が暗すぎる、または明るすぎる",
        ),
    ),
    _quality(
        "QC-CONTRAST",
        "low-contrast",
        "Contrast low",
        names_in(
            "Kontrast gering",
            "Contraste faible",
            "Contraste bajo",
            "对比度低",
            "コントラストが低い",
        ),
    ),
    _quality(
        "QC-CLIPPED",
        "clipped",
        "Grey values clipped",
        names_in(
            "Grauwerte abgeschnitten",
            "Niveaux de gris écrêtés",
            "Niveles de gris recortados",
            "灰度值被截断",
            "階調値が飽和",
        ),
    ),
    _quality(
        "QC-BLUR",
        "blurred",
        "Image blurred",
        names_in(
            "Bild unscharf",
            "Image floue",
            "Imagen borrosa",
            "图像模糊",
            "画像がぼけている",
        ),
    ),
    _quality(
        "QC-BORDER",
        "wide-border",
        "Wide empty border",
        names_in(
            "Breiter leerer Rand",
            "Large bord vide",
            "Borde vacío ancho",
            "空白边缘过宽",
            "空白の縁が広い",
        ),
    ),
    _quality(
        "QC-ASPECT",
        "aspect",
        "Unusual aspect ratio",
        names_in(
            "Ungewöhnliches Seitenverhältnis",
            "Rapport hauteur/largeur inhabituel",
            "Relación de aspecto inusual",
            "图像纵横比异常",
            "縦横比が通常と異なる",
        ),
    ),
    _quality(
        "QC-BURNEDIN",
        "burned-in-annotation",
        "Burned in annotation",
        names_in(
            "Eingebrannte Beschriftung",
            "Annotation incrustée",
            "Anotación incrustada",
            "图像内嵌注释",
            "画像に焼き込まれた注釈",
        ),
    ),
    _quality(
        "QC-DEVIATION",
        "deviation-index",
        "Deviation index out of range",
        names_in(
            "Abweichungsindex außerhalb des Bereichs",
            "Indice de déviation hors limites",
            "Índice de desviación fuera de rango",
            "偏差指数超出范围",
            "偏差指数が範囲外",
        ),
    ),
)
"""What the quality control bundle finds."""
