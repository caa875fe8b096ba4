"""Versions on their way to be live in a cluster, where git says what runs there.

    asked ──→ committed ──→ live ──→ done          the champion is moved when the cluster runs the version
      │           │
      │           ├──→ reverting ──→ reverted      the cluster gave it up, or a person did
      └───────────┴──→ yielding  ──→ superseded    a newer one took its place

Each arrow is one transaction that only the leader makes, after an act outside
that may be repeated: a tag, a commit, a look, an alias. Whoever is killed in
between leaves a row that says what to do next. `requests` is what people and
runs ask for, `discoveries` finds what steps without a database decided, `hops`
are the arrows, `looks` those that depend on the cluster, `reconcilers` walks them.
"""
