-- The standings of some users of a board.
SELECT user_id, score, version, reached_at
FROM standings
WHERE board_id = %(board_id)s AND user_id = ANY(%(user_ids)s)
