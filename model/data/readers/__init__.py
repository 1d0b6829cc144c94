"""One reader for each published layout; all give manifest rows and nothing else."""

from __future__ import annotations

from model.data.readers import (
    chexpert,
    chexpert_plus,
    dicom_folder,
    folders,
    kermany,
    labels_csv,
    medmnist,
    mimic,
    nih,
    nih_google,
    openi,
    padchest,
    rsna,
    series_folder,
    vindr,
)
from model.data.readers.reading import Options, Reader, Tally

__all__ = ["READERS", "Options", "Reader", "Tally"]

_VIEWS = ("views", "lateral_labels")
READERS = {
    "chexpert": Reader(chexpert.read, "CheXpert-v1.0, full size or -small", _VIEWS),
    "chexpert-plus": Reader(
        chexpert_plus.read,
        "CheXpert Plus; --labels impression, findings or report",
        (*_VIEWS, "labels"),
    ),
    "mimic-cxr-jpg": Reader(
        mimic.read_jpg,
        "MIMIC-CXR-JPG 2.0 and 2.1; --labels chexpert or negbio",
        (*_VIEWS, "labels", "test_labels", "tables"),
    ),
    "mimic-cxr": Reader(
        mimic.read_dicom,
        "MIMIC-CXR DICOM; --tables is the folder of MIMIC-CXR-JPG's tables",
        (*_VIEWS, "labels", "test_labels", "tables"),
    ),
    "nih": Reader(nih.read, "NIH ChestX-ray14, either table", ("table",)),
    "nih-google": Reader(
        nih_google.read, "radiologists' labels of NIH images (Google)", ("table",)
    ),
    "openi": Reader(
        openi.read, "Indiana University (OpenI): reports and images", _VIEWS
    ),
    "rsna": Reader(rsna.read, "RSNA pneumonia 2018, stage 2", ("mapping",)),
    "vindr": Reader(vindr.read, "VinDr-CXR, Kaggle or PhysioNet", ("readers",)),
    "padchest": Reader(
        padchest.read,
        "PadChest; --labels physician leaves out what a network labelled",
        (*_VIEWS, "labels", "table"),
    ),
    "medmnist": Reader(
        medmnist.read,
        "MedMNIST npz; --source pneumoniamnist_64 reads that file only",
        ("source",),
    ),
    "kermany": Reader(
        kermany.read, "Kermany's children, folders by class", split="hash"
    ),
    "folders": Reader(
        folders.read, "one folder per class, with groups.csv", ("source",)
    ),
    "dicom": Reader(
        dicom_folder.read,
        "a folder of DICOM files; --table is the table of labels",
        (*_VIEWS, "table", "source"),
    ),
    "series": Reader(
        series_folder.read,
        "a folder of DICOM series (CT, MR); --table is the table of labels",
        ("table", "source"),
    ),
    "labels-csv": Reader(labels_csv.read, "the labels.csv that training reads"),
}
