"""Change logs fed from the WAL: what is committed is decoded later, so that writers pay nothing and need no triggers.

The logs are those that triggers would feed, with the ids of the transactions that made the changes; only they fill a
little later. One slot and one publication of an install serve all tables of a database. A batch decodes, in its own
transaction, what no log has yet: its snapshot sees nothing that was not written to the WAL before, so log and decoded
rows together hold all that changed, as the logs of triggers do. What was decoded goes into the logs afterwards, and the
slot moves on. Decoded twice is therefore nothing lost, and nothing sent twice: positions tell by transaction ids.

The server decodes when it is asked by SQL (`pg_logical_slot_peek_binary_changes`, plugin pgoutput). Streaming costs it
a message and a system call for each change, and Python as much again: ten times the processor time. But each such call
begins where the oldest transaction was at the last record of running ones, which the server writes every 15 seconds;
so a source with much to decode is asked the less often (`source`).

`slot` makes and drops slot and publication, `messages` reads the messages that describe others and `keys` finds the
keys in those of rows, `decoder` decodes, `mover` fills the logs and moves the slot on, `source` is the reading side of
a link, `waiting` counts.
"""
