"""The worklist: the rows that outlive processes, on SQLite or PostgreSQL.

The only room that knows SQLAlchemy and alembic. Other rooms take one of its views as
the port they need; people and programs read the v1 views (docs/worklist-sql.md).
"""

from dicomnode.worklist.backups import backup, restore
from dicomnode.worklist.copying import copy
from dicomnode.worklist.integrity import check_pages
from dicomnode.worklist.opening import Worklist, open_views, open_worklist
from dicomnode.worklist.upgrading import check, downgrade, upgrade
from dicomnode.worklist.views import Views

__all__ = [
    "Views",
    "Worklist",
    "backup",
    "check",
    "check_pages",
    "copy",
    "downgrade",
    "open_views",
    "open_worklist",
    "restore",
    "upgrade",
]
