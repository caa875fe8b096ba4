"""The migrations themselves. One that was released is never changed."""
