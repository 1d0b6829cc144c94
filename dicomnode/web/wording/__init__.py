"""What the pages say in each language beside English; a test keeps them complete."""

from collections.abc import Mapping

from dicomnode.web.wording.catalogue import Catalogue
from dicomnode.web.wording.chinese import CHINESE
from dicomnode.web.wording.french import FRENCH
from dicomnode.web.wording.german import GERMAN
from dicomnode.web.wording.spanish import SPANISH

CATALOGUES: Mapping[str, Catalogue] = {
    "de": GERMAN,
    "fr": FRENCH,
    "es": SPANISH,
    "zh": CHINESE,
}
