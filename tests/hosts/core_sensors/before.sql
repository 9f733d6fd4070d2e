INSERT INTO station (code, description) VALUES
    ('EDDB', 'airport south of the city'), ('ZUGS', 'summit of the highest mountain');
INSERT INTO sensor (station_id, kind) VALUES (1, 'wind'), (1, 'rain'), (2, 'snow');
INSERT INTO operator (station_id) VALUES (1);
