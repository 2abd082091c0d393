-- Apply a batch of score events, each exactly once, and return the ids that were new.
-- Events and standings are written in key order, so that two batches wait for each other and never deadlock. The
-- operators are the rule of `boards.combine`: what they give does not depend on the order of events.
WITH incoming AS (
    SELECT *
    FROM unnest(
        %(event_ids)s::uuid [], %(board_ids)s::text [], %(user_ids)s::text [],
        %(event_values)s::bigint [], %(accepted_ats)s::bigint [], %(submitters)s::text []
    ) AS event (event_id, board_id, user_id, value, accepted_at, submitted_by)
),

fresh AS (
    INSERT INTO score_events (event_id, board_id, user_id, value, accepted_at, submitted_by)
    SELECT DISTINCT ON (event_id) event_id, board_id, user_id, value, accepted_at, submitted_by
    FROM incoming
    -- Of two contents with one id the one accepted first counts.
    ORDER BY event_id, accepted_at
    ON CONFLICT (event_id) DO NOTHING
    RETURNING event_id, board_id, user_id, value, accepted_at
),

changes AS (
    SELECT
        fresh.board_id,
        fresh.user_id,
        CASE boards.operator
            WHEN 'incr' THEN sum(fresh.value)
            WHEN 'decr' THEN -sum(fresh.value)
            WHEN 'best' THEN CASE boards.sort_order WHEN 'desc' THEN max(fresh.value) ELSE min(fresh.value) END
            ELSE (array_agg(fresh.value ORDER BY fresh.accepted_at DESC, fresh.value DESC))[1]
        END AS score,
        CASE boards.operator
            WHEN 'best' THEN (
                array_agg(
                    fresh.accepted_at
                    ORDER BY CASE boards.sort_order WHEN 'desc' THEN -fresh.value ELSE fresh.value END, fresh.accepted_at
                )
            )[1]
            ELSE max(fresh.accepted_at)
        END AS reached_at
    FROM fresh
    INNER JOIN boards ON fresh.board_id = boards.board_id
    GROUP BY fresh.board_id, fresh.user_id, boards.board_id
),

written AS (
    INSERT INTO standings AS standing (board_id, user_id, score, version, reached_at, changed_xact)
    SELECT
        board_id,
        user_id,
        score,
        1,
        reached_at,
        pg_current_xact_id()::text::bigint
    FROM changes
    ORDER BY board_id, user_id
    ON CONFLICT (board_id, user_id) DO UPDATE
        SET (score, version, reached_at, changed_xact) = (
            SELECT
                bounded_score(
                    CASE
                        WHEN boards.operator IN ('incr', 'decr') THEN standing.score::numeric + excluded.score
                        ELSE excluded.score
                    END,
                    boards.min_score, boards.max_score, standing.user_id
                ),
                standing.version + 1,
                CASE
                    WHEN boards.operator IN ('incr', 'decr') THEN greatest(standing.reached_at, excluded.reached_at)
                    ELSE excluded.reached_at
                END,
                excluded.changed_xact
            FROM boards
            WHERE boards.board_id = standing.board_id
        )
        WHERE (
            SELECT
                CASE boards.operator
                    WHEN 'best' THEN CASE boards.sort_order
                        WHEN 'desc'
                            THEN (excluded.score, -excluded.reached_at) > (standing.score, -standing.reached_at)
                        ELSE (-excluded.score, -excluded.reached_at) > (-standing.score, -standing.reached_at)
                    END
                    WHEN 'set' THEN (excluded.reached_at, excluded.score) > (standing.reached_at, standing.score)
                    ELSE TRUE
                END
            FROM boards
            WHERE boards.board_id = standing.board_id
        )
    -- Here, not where it is inserted: what is inserted is the change of those who have a score already.
    RETURNING (
        SELECT bounded_score(standing.score, boards.min_score, boards.max_score, standing.user_id)
        FROM boards
        WHERE boards.board_id = standing.board_id
    ) AS score
)

SELECT event_id FROM fresh
