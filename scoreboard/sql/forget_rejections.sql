-- Delete some of the notes on events that were rejected so many days ago.
DELETE FROM score_rejections
WHERE event_id IN (
    SELECT event_id
    FROM score_rejections
    WHERE rejected_at < now() - make_interval(days => %(days)s)
    LIMIT %(most)s
)
