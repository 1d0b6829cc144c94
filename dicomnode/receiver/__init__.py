"""The C-STORE and C-ECHO SCP: who may send, what is kept, what is answered."""
