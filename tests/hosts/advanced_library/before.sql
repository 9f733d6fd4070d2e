INSERT INTO author (id, name, created_at, updated_at)
    VALUES ('00000000-0000-0000-0000-000000000001', 'Austen', now(), now());
INSERT INTO book (id, isbn, title, blurb, author_id, created_at, updated_at) VALUES
    ('00000000-0000-0000-0000-000000000011', '1', 'Emma', 'A match is made.',
     '00000000-0000-0000-0000-000000000001', now(), now()),
    ('00000000-0000-0000-0000-000000000012', '2', 'Persuasion', 'A letter is written.',
     '00000000-0000-0000-0000-000000000001', now(), now());
INSERT INTO reader (name, created_at, updated_at) VALUES ('Ann', now(), now());
