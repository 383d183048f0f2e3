"""What is asked: `names()` lists the tasks, `load(name)` gives one."""
