"""The private base of the metadata stores: which fields are columns, how records become rows, transactions, schema."""
