"""The WebSocket API `/ws-api/v3`: requests, sessions and user data streams over one connection."""
