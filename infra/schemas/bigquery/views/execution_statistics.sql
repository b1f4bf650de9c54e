-- How closes were executed, by account, symbol, broker and hour (UTC). Averages are over the commands that know the number.
SELECT
  account,
  symbol,
  broker,
  EXTRACT(HOUR FROM issued_at) AS hour,
  currency,
  COUNT(*) AS commands,
  COUNTIF(status = 'filled') AS filled,
  COUNTIF(status = 'rejected') AS rejected,
  AVG(filled_pct) AS filled_pct,
  SUM(slippage_money) AS slippage_money,
  AVG(slippage_bps) AS slippage_bps,
  MAX(slippage_bps) AS worst_slippage_bps,
  AVG(delay_s) AS delay_s,
  MAX(delay_s) AS worst_delay_s,
  AVG(retries) AS retries,
  MAX(retries) AS most_retries,
  SUM(fees) AS fees
FROM `{dataset}.executions_latest`
GROUP BY account, symbol, broker, hour, currency
