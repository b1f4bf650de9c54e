"""Risk mathematics on float64 arrays. VaR, ES and drawdown are positive losses; NaN means unknown and stays
NaN.
"""
