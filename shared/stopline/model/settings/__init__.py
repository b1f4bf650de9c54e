"""Settings of an account: one frozen group a subject, with safe defaults."""
