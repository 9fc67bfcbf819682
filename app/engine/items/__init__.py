"""The queue of record: work items claimed by compare-and-set, held by a lease with a fencing token.

A map of the room, in the order of an item's life: `claims.py` gives an item to a worker; `leases.py` has the
lease, which the worker renews and each of its writes holds; `taking_over.py` joins the next item to one that
runs; `endings.py` has the ways in which an item ends or goes back; `sweeps.py` finds what workers lost and
what nobody was told of. `changes.py` has what a change of an item means for its job.
Times are the database's, never a worker's.
"""
