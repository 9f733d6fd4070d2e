"""
Applications as people write them, to which the rooms are added by the steps of the docs.

Each folder is one application: its models, its Alembic folder whose first migration is from
before pgultra, ``before.sql`` with rows of that time, and its own tests. ``stage.py`` holds
what all of them are put on.
"""
