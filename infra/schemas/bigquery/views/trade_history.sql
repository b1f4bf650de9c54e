-- One row per closed trade: the ledger's figures at its newest book revision, with what prices last showed of it.
SELECT *
FROM (
  SELECT * REPLACE (
    LAST_VALUE(mae IGNORE NULLS) OVER seen AS mae,
    LAST_VALUE(mfe IGNORE NULLS) OVER seen AS mfe,
    LAST_VALUE(vix_entry IGNORE NULLS) OVER seen AS vix_entry,
    LAST_VALUE(vix_exit IGNORE NULLS) OVER seen AS vix_exit
  )
  FROM `{dataset}.trades`
  WHERE TRUE
  QUALIFY ROW_NUMBER() OVER (
    PARTITION BY trade_id ORDER BY book_revision DESC, ingested_at DESC, content_hash DESC
  ) = 1
  WINDOW seen AS (
    PARTITION BY trade_id ORDER BY book_revision, ingested_at
    ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
  )
)
WHERE status = 'CLOSED'
