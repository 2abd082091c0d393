-- Some users of a board with their ranks on the whole board, all of one state.
WITH state AS (
    SELECT
        'pg' || to_hex((extract(EPOCH FROM pg_postmaster_start_time()) * 1000)::bigint) AS epoch,
        pg_snapshot_xmax(snapshot)::text::bigint - (SELECT count(*) FROM pg_snapshot_xip(snapshot)) AS version,
        (SELECT count(*) FROM standings WHERE board_id = %(board_id)s) AS total
    FROM pg_current_snapshot() AS snapshot
),

asked AS (
    SELECT
        standing.user_id,
        standing.score,
        standing.reached_at,
        1 + (
            SELECT count(*)
            FROM standings AS other
            WHERE
                other.board_id = standing.board_id
                AND CASE
                    WHEN %(descending)s THEN
                        other.score > standing.score
                        OR (other.score = standing.score AND (other.reached_at < standing.reached_at
                            OR (other.reached_at = standing.reached_at AND other.user_id > standing.user_id)))
                    ELSE
                        other.score < standing.score
                        OR (
                            other.score = standing.score
                            AND (other.reached_at, other.user_id) < (standing.reached_at, standing.user_id)
                        )
                END
        ) AS position
    FROM standings AS standing
    WHERE standing.board_id = %(board_id)s AND standing.user_id = ANY(%(user_ids)s)
)

SELECT state.epoch, state.version, state.total, asked.position, asked.user_id, asked.score, asked.reached_at
FROM state
LEFT JOIN asked ON TRUE
ORDER BY asked.position
