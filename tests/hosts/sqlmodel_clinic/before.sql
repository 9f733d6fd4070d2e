INSERT INTO patient (number, name) VALUES ('P-1', 'Ann'), ('P-2', 'Bob');
INSERT INTO note (patient_id, title, text) VALUES
    (1, 'First visit', 'Complains of a headache.'), (2, 'Check-up', 'Pulse is regular.');
