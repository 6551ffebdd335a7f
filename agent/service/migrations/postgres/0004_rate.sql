-- What an operator ordered about the rate of all copies of a host. A row stays when the order is taken back: it is then `schedule`.
CREATE TABLE operator_rate (
    id         BIGINT PRIMARY KEY CHECK (id = 1),
    -- `protocol::station_rate::RateOrder`, as text.
    rate_order TEXT COLLATE "C" NOT NULL
);
