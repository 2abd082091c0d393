-- How many users have a standing on a board.
SELECT count(*)
FROM standings
WHERE board_id = %(board_id)s
