"""What a cluster runs of a pilot: the only package that talks to Kubernetes.

`connections` asks the API server, `workloads` makes sense of what it answers,
`readings` joins both. Of what serves, nothing is ever changed from here: git says
what is to run, and what follows git carries that out. `rays` has a step carried out
by pods that it asks KubeRay for. `workloads` is light to import; the
others load the client of Kubernetes, which takes a second.
"""
