"""From a key to the writes it needs: reads the store, asks the core, keeps the ledger, hands the writes to the cluster room."""
