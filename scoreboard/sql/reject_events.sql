-- Note why some events cannot be applied; the latest reason counts.
INSERT INTO score_rejections (event_id, board_id, user_id, value, submitted_by, reason)
SELECT DISTINCT ON (event_id) event_id, board_id, user_id, value, submitted_by, reason
FROM unnest(
    %(event_ids)s::uuid [], %(board_ids)s::text [], %(user_ids)s::text [],
    %(event_values)s::bigint [], %(submitters)s::text [], %(reasons)s::text []
) AS event (event_id, board_id, user_id, value, submitted_by, reason)
ORDER BY event_id
ON CONFLICT (event_id) DO UPDATE SET reason = excluded.reason, rejected_at = now()
