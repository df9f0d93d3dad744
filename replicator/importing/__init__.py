"""Takes over what a Bucardo, 4 or 5, is set up to do: reads its database, prints the inventory that declares the same.

`reading` asks the database, `declaring` turns what it says into this program's nouns and notes what has no equivalent,
`printing` writes YAML. The inventory is provision's to read; nothing here changes anything anywhere.
"""

from replicator.importing.declaring import Declaration, declare
from replicator.importing.printing import inventory
from replicator.importing.reading import Former, read

__all__ = ["Declaration", "Former", "declare", "inventory", "read"]
