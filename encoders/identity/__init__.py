"""Who an encoder is: its fingerprint, and how it is known again without being loaded."""
