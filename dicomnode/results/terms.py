"""The findings that the program knows by their codes, checked, with their equivalents.

Codes come from the bundle. This table says which ones to choose, what the same finding
is called in other coding schemes and in other languages, and what our private code for
it is. Public code maps are full of wrong codes, so a test holds every line against a
copy of the table that was checked by hand (docs/results.md has the sources).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dicomnode.domain.findings import Code
from dicomnode.results.codes import PRIVATE_SCHEME

DESIGNATORS = {"radlex": "RADLEX", "umls": "UMLS"}
"""Coding Scheme Designators (PS3.16 Table 8-1)."""


@dataclass(frozen=True, slots=True)
class Term:
    """One finding.

    ``source`` says where the code is from: a context group of PS3.16, or how many
    independent sources agree. ``private`` is the value of our own code for it;
    ``radlex`` and ``umls`` are empty where there is no exact equivalent.
    """

    label: str
    code: Code
    source: str
    private: str
    site: Code | None = None
    radlex: str = ""
    umls: str = ""
    names: Mapping[str, str] = field(default_factory=dict)

    def in_scheme(self, scheme: str) -> Code:
        """The code in ``radlex`` or ``umls``, or the private one."""
        value = {"radlex": self.radlex, "umls": self.umls}.get(scheme, "")
        if value:
            return Code(value, DESIGNATORS[scheme], self.code.meaning)
        return Code(self.private, PRIVATE_SCHEME, self.code.meaning)


def _sct(value: str, meaning: str) -> Code:
    return Code(value, "SCT", meaning)


def names_in(de: str, fr: str, es: str, zh: str, ja: str) -> dict[str, str]:
    """The names of a concept by language."""
    return {"de": de, "fr": fr, "es": es, "zh": zh, "ja": ja}


LUNG = _sct("39607008", "Lung")
PLEURA = _sct("3120008", "Pleura")
HEART = _sct("80891009", "Heart")
MEDIASTINUM = _sct("72410000", "Mediastinum")
CHEST = _sct("816094009", "Chest")

CHEXPERT = (
    Term(
        "No Finding",
        Code("121402", "DCM", "Normality"),
        "DCM, with the values of CID 222: a category, never a finding",
        "CXR-NOFINDING",
        names=names_in("Normalität", "Normalité", "Normalidad", "正常性", "正常性"),
    ),
    Term(
        "Enlarged Cardiomediastinum",
        Code("C2021206", "UMLS", "Enlarged cardiomediastinum"),
        "two UMLS label maps of MIMIC-CXR",
        "CXR-CARDMED",
        MEDIASTINUM,
        umls="C2021206",
        names=names_in(
            "Verbreitertes Kardiomediastinum",
            "Élargissement cardiomédiastinal",
            "Ensanchamiento cardiomediastínico",
            "心纵隔增大",
            "心縦隔陰影拡大",
        ),
    ),
    Term(
        "Cardiomegaly",
        _sct("8186001", "Cardiomegaly"),
        "two or more sources; 287272002 in DICOM is of fetal context groups",
        "CXR-CARDIOMEG",
        HEART,
        umls="C0018800",
        names=names_in(
            "Kardiomegalie", "Cardiomégalie", "Cardiomegalia", "心脏增大", "心拡大"
        ),
    ),
    Term(
        "Lung Lesion",
        _sct("52988006", "Lesion"),
        "PS3.16, with the site Lung",
        "CXR-LESION",
        LUNG,
        umls="C0577916",
        names=names_in("Läsion", "Lésion", "Lesión", "病灶", "病変"),
    ),
    Term(
        "Lung Opacity",
        Code("112033", "DCM", "Abnormal opacity"),
        "PS3.16 CID 6101",
        "CXR-OPACITY",
        LUNG,
        umls="C4728208",
        names=names_in(
            "Auffällige Verschattung",
            "Opacité anormale",
            "Opacidad anormal",
            "异常阴影",
            "異常陰影",
        ),
    ),
    Term(
        "Edema",
        _sct("19242006", "Pulmonary edema"),
        "PS3.16 CID 3700; not the generic edema",
        "CXR-EDEMA",
        LUNG,
        "RID4866",
        "C0034063",
        names_in(
            "Lungenödem", "Œdème pulmonaire", "Edema pulmonar", "肺水肿", "肺水腫"
        ),
    ),
    Term(
        "Consolidation",
        _sct("95436008", "Lung consolidation"),
        "two or more sources (OMOP, INSPECT)",
        "CXR-CONSOLID",
        LUNG,
        "RID43255",
        "C0521530",
        names_in(
            "Konsolidierung der Lunge",
            "Condensation pulmonaire",
            "Consolidación pulmonar",
            "肺实变",
            "肺コンソリデーション",
        ),
    ),
    Term(
        "Pneumonia",
        _sct("233604007", "Pneumonia"),
        "two or more sources",
        "CXR-PNEUMONIA",
        LUNG,
        "RID5350",
        "C0032285",
        names_in("Pneumonie", "Pneumonie", "Neumonía", "肺炎", "肺炎"),
    ),
    Term(
        "Atelectasis",
        _sct("46621007", "Atelectasis"),
        "two or more sources; DICOM has the plate-like one only",
        "CXR-ATELECTASIS",
        LUNG,
        "RID28493",
        "C0004144",
        names_in("Atelektase", "Atélectasie", "Atelectasia", "肺不张", "無気肺"),
    ),
    Term(
        "Pneumothorax",
        _sct("36118008", "Pneumothorax"),
        "PS3.16 CID 6105",
        "CXR-PNEUMOTHORAX",
        PLEURA,
        "RID5352",
        "C0032326",
        names_in("Pneumothorax", "Pneumothorax", "Neumotórax", "气胸", "気胸"),
    ),
    Term(
        "Pleural Effusion",
        _sct("60046008", "Pleural effusion"),
        "PS3.16 CID 8134, CID 645",
        "CXR-EFFUSION",
        PLEURA,
        "RID34539",
        "C0032227",
        names_in(
            "Pleuraerguss",
            "Épanchement pleural",
            "Derrame pleural",
            "胸腔积液",
            "胸水",
        ),
    ),
    Term(
        "Pleural Other",
        Code("C0032226", "UMLS", "Pleural disease"),
        "two UMLS label maps of MIMIC-CXR",
        "CXR-PLEURAOTHER",
        PLEURA,
        umls="C0032226",
        names=names_in(
            "Pleuraerkrankung",
            "Maladie pleurale",
            "Enfermedad pleural",
            "胸膜疾病",
            "胸膜疾患",
        ),
    ),
    Term(
        "Fracture",
        _sct("125605004", "Fracture of bone"),
        "two or more sources",
        "CXR-FRACTURE",
        CHEST,
        "RID4650",
        "C0016658",
        names_in("Knochenfraktur", "Fracture osseuse", "Fractura ósea", "骨折", "骨折"),
    ),
    Term(
        "Support Devices",
        Code("C0025080", "UMLS", "Medical device"),
        "UMLS; CID 6404 has the single devices",
        "CXR-DEVICE",
        CHEST,
        umls="C0025080",
        names=names_in(
            "Fremdmaterial",
            "Dispositif médical",
            "Dispositivo médico",
            "医疗器械",
            "医療機器",
        ),
    ),
)
"""The 14 labels of CheXpert; RadLex only where it means exactly the same."""
