"""The generated tables of the Conformance Statement (PS3.2 Annex N).

Everything in them is asked of the parts that do the work: the receiver's contexts and
statuses, the contexts that delivery proposes, the templates and codes of the results,
and the configuration.
"""

from dicomnode.conformance.blocks import NAMES, Table, tables
from dicomnode.conformance.marked import Differing, differing, filled

__all__ = ["NAMES", "Differing", "Table", "differing", "filled", "tables"]
