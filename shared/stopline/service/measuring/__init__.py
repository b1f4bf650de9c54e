"""The sweep's measures: VaR, stress, correlation, market condition."""
