"""pgherd and its peers on the same machine, the same servers and the same work, in one run: claims as ratios.

`python -m bench` runs every workload, `python -m bench catchup` one. `contenders` are who competes, `workloads` what
they compete in, `grounds` the servers, `figures` the arithmetic, `report` and `plot` what is shown. Servers, sshd and
the commands' runner are those of the tests (`tests/fixtures`). The method and what came of it: docs/performance.md.
"""
