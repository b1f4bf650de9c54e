-- Sessions whose numbers changed after they were over: a fill, fee, correction or bust came late. One row a change.
SELECT
  event_id,
  SUBSTR(scope, 9) AS account,
  CAST(JSON_VALUE(detail, '$.session') AS DATE) AS session,
  JSON_VALUE(detail, '$.currency') AS currency,
  CAST(JSON_VALUE(detail, '$.before.realised') AS NUMERIC) AS realised_before,
  CAST(JSON_VALUE(detail, '$.after.realised') AS NUMERIC) AS realised_after,
  CAST(JSON_VALUE(detail, '$.before.fees') AS NUMERIC) AS fees_before,
  CAST(JSON_VALUE(detail, '$.after.fees') AS NUMERIC) AS fees_after,
  CAST(JSON_VALUE(detail, '$.before.net') AS NUMERIC) AS net_before,
  CAST(JSON_VALUE(detail, '$.after.net') AS NUMERIC) AS net_after,
  decided_at AS restated_at
FROM `{dataset}.audit_latest`
WHERE event = 'day_restated'
