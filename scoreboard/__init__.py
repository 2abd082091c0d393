"""The domain of the scoreboard: what the API, the workers and the operations have in common.

The pure modules (`boards`, `events`, `standings`, `ranking`, `errors`, `config`) know no library. The backends are
named role first: `score_store_postgres`, `rank_writer_redis`, `event_queue_sqs`.
"""
