"""Results on their way out: outbox, C-STORE SCU. Owns pynetdicom's client side."""
