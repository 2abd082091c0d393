-- Create a board, or leave the one of that name as it is.
INSERT INTO boards (
    board_id, operator, sort_order, min_change, max_change, min_score, max_score, writers, display_limit
) VALUES (
    %(board_id)s, %(operator)s, %(sort_order)s, %(min_change)s, %(max_change)s,
    %(min_score)s, %(max_score)s, %(writers)s, %(display_limit)s
)
ON CONFLICT (board_id) DO NOTHING
