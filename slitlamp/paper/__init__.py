"""The pages that go into a paper: report, tables, numbers, methods and figures, all functions of stored runs."""
