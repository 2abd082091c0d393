-- What became of one event: applied counts more than rejected, as a rejected one may be applied later.
SELECT 'applied' AS status, board_id, user_id, submitted_by, value, NULL AS reason
FROM score_events
WHERE event_id = %(event_id)s
UNION ALL
SELECT 'rejected', board_id, user_id, submitted_by, value, reason
FROM score_rejections
WHERE event_id = %(event_id)s
ORDER BY status -- 'applied' before 'rejected'
LIMIT 1
