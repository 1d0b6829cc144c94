"""From a claimed job to results in the outbox."""
