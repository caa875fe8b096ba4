"""`pilotage up`: the processes of one installation on one machine, started, watched and ended together.

`services` says what there is to run, `children` runs one process, `supervisors`
keeps all of them running, `__main__` is what the processes themselves are.
"""
