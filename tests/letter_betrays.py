"""Are left and right exchanged, on films whose lead letter lies on the side that tells?"""

from letter_task import task

TASK = task(betrays=True)
