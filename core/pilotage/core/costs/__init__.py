"""What work costs: what it used of a machine, the energy that took, and its price.

Measuring (`usages`), the machine's power (`powers`), prices (`prices`) and the sum of them
(`estimates`) know neither runs nor requests; who keeps what was used is not known here.
"""
