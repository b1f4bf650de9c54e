-- Events that were reported with different contents: one id, more than one hash. Empty when all is well. Closes that a person
-- loads again have the same id and a later moment: only those of the feed are looked at.
SELECT
  table_name,
  event_id,
  COUNT(DISTINCT content_hash) AS versions,
  MIN(ingested_at) AS first_ingested_at,
  MAX(ingested_at) AS last_ingested_at
FROM (
  SELECT 'fills' AS table_name, event_id, content_hash, ingested_at FROM `{dataset}.fills`
  UNION ALL
  SELECT 'positions' AS table_name, event_id, content_hash, ingested_at FROM `{dataset}.positions`
  UNION ALL
  SELECT 'trades' AS table_name, event_id, content_hash, ingested_at FROM `{dataset}.trades`
  UNION ALL
  SELECT 'account_snapshots' AS table_name, event_id, content_hash, ingested_at FROM `{dataset}.account_snapshots`
  UNION ALL
  SELECT 'alerts' AS table_name, event_id, content_hash, ingested_at FROM `{dataset}.alerts`
  UNION ALL
  SELECT 'audit' AS table_name, event_id, content_hash, ingested_at FROM `{dataset}.audit`
  UNION ALL
  SELECT 'closes' AS table_name, event_id, content_hash, ingested_at FROM `{dataset}.closes` WHERE source = 'mark'
  UNION ALL
  SELECT 'metrics' AS table_name, event_id, content_hash, ingested_at FROM `{dataset}.metrics`
  UNION ALL
  SELECT 'executions' AS table_name, event_id, content_hash, ingested_at FROM `{dataset}.executions`
  UNION ALL
  SELECT 'reconciliations' AS table_name, event_id, content_hash, ingested_at FROM `{dataset}.reconciliations`
)
GROUP BY table_name, event_id
HAVING COUNT(DISTINCT content_hash) > 1
