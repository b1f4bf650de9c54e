-- One row per event: the one appended last. Rows arrive at least once, so the table may hold several.
SELECT *
FROM `{dataset}.reconciliations`
WHERE TRUE
QUALIFY ROW_NUMBER() OVER (PARTITION BY event_id ORDER BY ingested_at DESC, content_hash DESC) = 1
