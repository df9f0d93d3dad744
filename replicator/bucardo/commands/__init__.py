"""One module a verb; `add`, `update` and `listing` hand on to one module a noun."""
