"""The trading state stored, published, carried out; leases of adapters."""
