"""What a sweep looks for: silence, differences from brokers, expiries, odd activity, the market."""
