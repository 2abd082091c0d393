-- The tables of scoring: rules, what every user has, and every event that led there.

CREATE TABLE boards (
    board_id text COLLATE "C" PRIMARY KEY CHECK (board_id ~ '^[a-z0-9][a-z0-9_-]{0,31}$'),
    operator text NOT NULL CHECK (operator IN ('incr', 'decr', 'best', 'set')),
    sort_order text NOT NULL CHECK (sort_order IN ('desc', 'asc')),
    min_change bigint NOT NULL CHECK (abs(min_change) <= 9007199254740991),
    max_change bigint NOT NULL CHECK (abs(max_change) <= 9007199254740991),
    min_score bigint NOT NULL CHECK (abs(min_score) <= 9007199254740991),
    max_score bigint NOT NULL CHECK (abs(max_score) <= 9007199254740991),
    writers text NOT NULL CHECK (writers IN ('player', 'server')),
    display_limit integer NOT NULL CHECK (display_limit BETWEEN 1 AND 100),
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK (min_change <= max_change),
    CHECK (min_score <= max_score)
);

INSERT INTO boards (
    board_id, operator, sort_order, min_change, max_change, min_score, max_score, writers, display_limit
) VALUES ('global', 'incr', 'desc', 1, 1000, -9007199254740991, 9007199254740991, 'player', 10);

-- One row a user and board. `version` grows with every change: whoever copies a standing elsewhere copies the version
-- along, and an older one never overwrites a newer. `changed_xact` is the transaction that wrote it: the sweeper asks
-- for everything at or after the oldest transaction that was still open when it looked last.
CREATE TABLE standings (
    board_id text COLLATE "C" NOT NULL REFERENCES boards,
    user_id text COLLATE "C" NOT NULL,
    score bigint NOT NULL CHECK (score BETWEEN -9007199254740991 AND 9007199254740991),
    version bigint NOT NULL CHECK (version > 0),
    reached_at bigint NOT NULL CHECK (reached_at BETWEEN 0 AND 9999999999999999),
    changed_xact bigint NOT NULL,
    PRIMARY KEY (board_id, user_id)
);
CREATE INDEX standings_by_rank ON standings (board_id, score DESC, reached_at, user_id DESC);
CREATE INDEX standings_by_change ON standings (board_id, changed_xact);

-- Every event that had its effect. The primary key is what makes the effect happen once.
CREATE TABLE score_events (
    event_id uuid PRIMARY KEY,
    board_id text COLLATE "C" NOT NULL REFERENCES boards,
    user_id text COLLATE "C" NOT NULL,
    value bigint NOT NULL CHECK (value BETWEEN -9007199254740991 AND 9007199254740991),
    accepted_at bigint NOT NULL,
    submitted_by text COLLATE "C" NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX score_events_by_time ON score_events USING brin (applied_at);

-- Events that broke a rule, and which. They wait in the dead-letter queue; applied later, `score_events` has them too.
CREATE TABLE score_rejections (
    event_id uuid PRIMARY KEY,
    board_id text COLLATE "C" NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    value bigint NOT NULL,
    submitted_by text COLLATE "C" NOT NULL,
    reason text NOT NULL,
    rejected_at timestamptz NOT NULL DEFAULT now()
);

-- A score within its board's bounds, or an error that names the user: the batch is then applied one by one.
CREATE FUNCTION bounded_score(score numeric, low bigint, high bigint, whose text) RETURNS bigint
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF score < low OR score > high THEN
        RAISE EXCEPTION 'the score of % would leave the bounds % to %', whose, low, high
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN score;
END
$$;
