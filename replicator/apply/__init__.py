"""The writing side: staged rows become rows of the target, in the transaction that also moves the position.

`stage` brings the rows over, `write` applies them on a slave and `swap` on another master, `diff` makes a whole table
equal, `sift` finds the rows that are refused and `park` sets them aside, `onward` logs what other syncs are to carry
further.
"""
