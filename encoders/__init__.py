"""Who is asked: `names()` lists the registered encoders, `load(name, …)` builds one."""
