-- All boards.
SELECT board_id, operator, sort_order, min_change, max_change, min_score, max_score, writers, display_limit
FROM boards
ORDER BY board_id
