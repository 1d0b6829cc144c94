"""Pure DICOM builders: findings in, conformant objects out. No clock, disk, network."""

from dicomnode.domain.ownership import is_own_result
from dicomnode.results.build import KINDS, build, build_reports, draw_pictures
from dicomnode.results.codes import LANGUAGES
from dicomnode.results.context import BuiltResult, NodeFacts, ReportContext
from dicomnode.results.document import SOP_CLASSES
from dicomnode.results.encoding import encode, encode_data_set
from dicomnode.results.page import VIEWS
from dicomnode.results.rehearsal import rehearse
from dicomnode.results.shaping import without_maps

__all__ = [
    "KINDS",
    "LANGUAGES",
    "SOP_CLASSES",
    "VIEWS",
    "BuiltResult",
    "NodeFacts",
    "ReportContext",
    "build",
    "build_reports",
    "draw_pictures",
    "encode",
    "encode_data_set",
    "is_own_result",
    "rehearse",
    "without_maps",
]
