"""What a cluster runs of a pilot: the only package that talks to Kubernetes.

`connections` asks the API server, `workloads` makes sense of what it answers,
`readings` joins both. Nothing is ever changed in a cluster from here: git says
what is to run, and what follows git carries that out. `workloads` is light to import; the
others load the client of Kubernetes, which takes a second.
"""
