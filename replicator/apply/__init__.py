"""The writing side: staged rows become rows of the target, in the transaction that also moves the position.

`stage` brings the rows over, `write` applies them on a slave and `swap` on another master, `diff` makes a whole table
equal, `park` sets refused rows aside, `onward` logs what other syncs are to carry further.
"""
