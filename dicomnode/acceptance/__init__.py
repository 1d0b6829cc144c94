"""The acceptance kit: a fake scanner and a fake PACS with faults, against a real node.

It sends phantoms only, looks at what the node and the PACS have of them, removes them
again, and writes a report that a site can file. It uses the node from outside: by
DICOM, and by the public v1 views of its worklist.
"""

from dicomnode.acceptance.admission import CALLING_AE_TITLE, lines
from dicomnode.acceptance.main import Order, main

__all__ = ["CALLING_AE_TITLE", "Order", "lines", "main"]
