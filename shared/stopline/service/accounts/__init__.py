"""Accounts: reading, changing, and what people see of them."""
