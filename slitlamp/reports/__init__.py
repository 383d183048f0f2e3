"""Tables, figures, files and cards: functions of the records alone."""
