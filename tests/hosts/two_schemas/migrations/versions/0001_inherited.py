"""
What was found.
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade():
    op.execute('CREATE SCHEMA "CRM"')
    op.execute('CREATE SCHEMA "Sales"')
    op.execute(
        'CREATE TABLE "CRM"."Customer Contact" ("contactId" serial PRIMARY KEY, '
        '"customerNumber" varchar(20) NOT NULL, "fullName" varchar NOT NULL)'
    )
    op.execute(
        'CREATE TABLE "Sales"."Order" ("orderId" serial PRIMARY KEY, '
        '"contactId" integer NOT NULL REFERENCES "CRM"."Customer Contact")'
    )
    op.execute(
        'CREATE TABLE "Sales"."Order Line" ("lineId" serial PRIMARY KEY, '
        '"orderId" integer NOT NULL REFERENCES "Sales"."Order", "itemText" text NOT NULL)'
    )


def downgrade():
    op.execute('DROP TABLE "Sales"."Order Line", "Sales"."Order", "CRM"."Customer Contact"')
    op.execute('DROP SCHEMA "Sales"')
    op.execute('DROP SCHEMA "CRM"')
