"""From a key to the writes it needs: reads the store, asks the core, keeps the ledger, has the cluster room write."""
