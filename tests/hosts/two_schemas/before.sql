INSERT INTO "CRM"."Customer Contact" ("customerNumber", "fullName")
    VALUES ('A-1', 'Ann Able'), ('B-2', 'Bob Best');
INSERT INTO "Sales"."Order" ("contactId") VALUES (1), (1), (2);
INSERT INTO "Sales"."Order Line" ("orderId", "itemText") VALUES
    (1, 'four wooden chairs'), (1, 'one table'), (2, 'lamp oil'), (3, 'a chair for a child');
