"""The web dashboard: pages rendered here, moved by htmx and server-sent events, readable without either."""
