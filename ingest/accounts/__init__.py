"""Accounts of people, `/account/v1`: register, sign in, sessions, and one's own API keys."""
