-- The standings of a board written at or after a transaction, oldest first; 0 gives all.
SELECT user_id, score, version, reached_at
FROM standings
WHERE board_id = %(board_id)s AND changed_xact >= %(watermark)s
