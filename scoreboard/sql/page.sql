-- Entries of a board in rank order, all of one state: from an offset, or after a cursor.
-- The version is how many transactions had ended in the state that was read: it grows whenever more can be seen. A
-- restart may number anew what was lost unfinished, so the start of the server is the epoch. Of the two orders only the
-- one asked for is run; both use the index of rank, the ascending one backwards with a sort of equal scores.
WITH state AS (
    SELECT
        'pg' || to_hex((extract(EPOCH FROM pg_postmaster_start_time()) * 1000)::bigint) AS epoch,
        pg_snapshot_xmax(snapshot)::text::bigint - (SELECT count(*) FROM pg_snapshot_xip(snapshot)) AS version,
        (SELECT count(*) FROM standings WHERE board_id = %(board_id)s) AS total
    FROM pg_current_snapshot() AS snapshot
),

before AS (
    SELECT
        CASE
            WHEN %(after)s THEN (
                SELECT count(*)
                FROM standings
                WHERE
                    board_id = %(board_id)s
                    AND CASE
                        WHEN %(descending)s THEN
                            score > %(score)s
                            OR (score = %(score)s AND (reached_at < %(reached_at)s
                                OR (reached_at = %(reached_at)s AND user_id >= %(user_id)s)))
                        ELSE
                            score < %(score)s
                            OR (score = %(score)s AND (reached_at, user_id) <= (%(reached_at)s, %(user_id)s))
                    END
            )
            ELSE %(offset)s
        END AS entries
),

page AS (
    (
        SELECT user_id, score, reached_at
        FROM standings
        WHERE board_id = %(board_id)s AND %(descending)s
        ORDER BY score DESC, reached_at ASC, user_id DESC
        LIMIT %(limit)s OFFSET (SELECT entries FROM before)
    )
    UNION ALL
    (
        SELECT user_id, score, reached_at
        FROM standings
        WHERE board_id = %(board_id)s AND NOT %(descending)s
        ORDER BY score ASC, reached_at ASC, user_id ASC
        LIMIT %(limit)s OFFSET (SELECT entries FROM before)
    )
)

SELECT state.epoch, state.version, state.total, before.entries, page.user_id, page.score, page.reached_at
FROM state
CROSS JOIN before
LEFT JOIN page ON TRUE
