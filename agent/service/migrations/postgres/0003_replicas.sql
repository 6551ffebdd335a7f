-- Which service decides: one at a time. It keeps `service_term` as it is while it changes something; the next one counts it up,
-- and what the one before still does is refused from then on.
CREATE TABLE service_term (
    id     BIGINT PRIMARY KEY CHECK (id = 1),
    number BIGINT NOT NULL
);
INSERT INTO service_term (id, number) VALUES (1, 0);

-- Until when it is waited for, in milliseconds since 1970 by the server's clock; and where the others send what they are asked.
CREATE TABLE service_lease (
    id      BIGINT PRIMARY KEY CHECK (id = 1),
    holder  TEXT COLLATE "C" NOT NULL,
    url     TEXT COLLATE "C" NOT NULL,
    ends_at BIGINT NOT NULL
);
INSERT INTO service_lease (id, holder, url, ends_at) VALUES (1, '', '', 0);
