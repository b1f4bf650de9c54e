-- One row per command and leg: the one that knows most fills, as late fills make another row.
SELECT *
FROM `{dataset}.executions`
WHERE TRUE
QUALIFY ROW_NUMBER() OVER (
  PARTITION BY account, command_id, symbol
  ORDER BY filled_quantity DESC, ingested_at DESC, content_hash DESC
) = 1
