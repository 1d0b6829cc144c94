"""The history of the schema; alembic runs it on a connection of ours."""
