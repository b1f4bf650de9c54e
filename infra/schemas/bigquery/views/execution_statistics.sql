-- How closes were executed, by symbol, broker and hour (UTC). Slippage is weighted by executed units.
SELECT
  symbol,
  broker,
  EXTRACT(HOUR FROM issued_at) AS hour,
  COUNT(*) AS commands,
  COUNTIF(status = 'filled') AS filled,
  COUNTIF(status = 'rejected') AS rejected,
  100 * SUM(filled_quantity) / SUM(requested_quantity) AS filled_pct,
  SUM(slippage_money) AS slippage_money,
  SUM(slippage_bps * filled_quantity)
    / NULLIF(SUM(IF(slippage_bps IS NULL, 0, filled_quantity)), 0) AS slippage_bps,
  MAX(slippage_bps) AS worst_slippage_bps,
  AVG(delay_s) AS delay_s,
  AVG(retries) AS retries,
  SUM(fees) AS fees
FROM `{dataset}.executions_latest`
GROUP BY symbol, broker, hour
