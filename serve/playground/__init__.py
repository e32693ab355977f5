"""The page at /playground, where every model can be tried."""
