"""Networks that no library builds as published."""
