"""What people do with an installation: each thing once, for the API, the pages and the commands alike.

A function takes a `Desk` and an `Actor`, checks that the actor may, and returns
a model that the API sends as it is. Nothing here knows HTTP.
"""
