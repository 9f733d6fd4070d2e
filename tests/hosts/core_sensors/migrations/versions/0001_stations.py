"""
Stations, sensors, operators.
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade():
    op.execute(
        "CREATE TABLE station (id serial PRIMARY KEY, code text NOT NULL, "
        "description text NOT NULL DEFAULT '')"
    )
    op.execute(
        "CREATE TABLE sensor (id serial PRIMARY KEY, "
        "station_id integer NOT NULL REFERENCES station, kind text NOT NULL)"
    )
    op.execute(
        "CREATE TABLE operator (id serial PRIMARY KEY, "
        "station_id integer NOT NULL REFERENCES station)"
    )


def downgrade():
    op.execute("DROP TABLE operator, sensor, station")
