-- One row per command and leg: the newest, as late fills and corrections make another row.
SELECT *
FROM `{dataset}.executions`
WHERE TRUE
QUALIFY ROW_NUMBER() OVER (
  PARTITION BY account, command_id, symbol
  ORDER BY IFNULL(revision, 0) DESC, filled_quantity DESC, ingested_at DESC, content_hash DESC
) = 1
