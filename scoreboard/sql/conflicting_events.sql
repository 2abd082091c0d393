-- Of some events, the ids that are known already with another content. The first content counts.
SELECT event.event_id
FROM unnest(
    %(event_ids)s::uuid [], %(board_ids)s::text [], %(user_ids)s::text [], %(event_values)s::bigint []
) AS event (event_id, board_id, user_id, value)
INNER JOIN score_events AS known ON event.event_id = known.event_id
WHERE (event.board_id, event.user_id, event.value) IS DISTINCT FROM (known.board_id, known.user_id, known.value)
