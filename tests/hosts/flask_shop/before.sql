INSERT INTO category (name) VALUES ('tea'), ('coffee');
INSERT INTO product (sku, name, description, price, category_id) VALUES
    ('T1', 'Green tea', 'Steamed leaves from Uji.', 7.50, 1),
    ('T2', 'Black tea', 'Oxidised leaves from Assam.', 6, 1),
    ('C1', 'Espresso', 'Dark roasted beans.', 9, 2);
INSERT INTO customer (name) VALUES ('Ann'), ('Bob');
