INSERT INTO article (slug, title, body) VALUES
    ('tides', 'Why there are tides', 'The moon pulls at the sea.'),
    ('bread', 'Baking bread', 'Flour, water, salt and a night of rest.');
INSERT INTO comment (article_id, text) VALUES (1, 'And the sun?'), (2, 'Yum.');
INSERT INTO subscriber (id, name) VALUES ('11111111-1111-1111-1111-111111111111', 'Ann');
