-- What all copies of a host may move together, by an operator's order; no row where the configuration says it.
CREATE TABLE operator_rate (
    id  INTEGER PRIMARY KEY CHECK (id = 1),
    -- `protocol::station_rate::RateCap`, as text.
    cap TEXT NOT NULL
) STRICT;
