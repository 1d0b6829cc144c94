"""The worklist: the rows that outlive processes, on SQLite or PostgreSQL.

The only room that knows SQLAlchemy and alembic. Other rooms take one of its views as
the port they need; people and programs read the v1 views (docs/worklist-sql.md).
"""

from dicomnode.worklist.opening import Worklist, open_views, open_worklist
from dicomnode.worklist.upgrading import check, downgrade, upgrade
from dicomnode.worklist.views import Views

__all__ = [
    "Views",
    "Worklist",
    "check",
    "downgrade",
    "open_views",
    "open_worklist",
    "upgrade",
]
