-- Delete some of the events that were applied so many days ago.
-- In no order: sorting would read all of a backlog for each step.
DELETE FROM score_events
WHERE event_id IN (
    SELECT event_id
    FROM score_events
    WHERE applied_at < now() - make_interval(days => %(days)s)
    LIMIT %(most)s
)
