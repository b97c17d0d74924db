"""What is wrong with a condition, where, and what to do."""


class ConditionError(ValueError):
    """A condition that can't be read, or has no answer for a value; `column` counts from 1, 0 is nowhere."""

    def __init__(self, message: str, remedy: str = "", column: int = 0) -> None:
        where = f"column {column}: " if column else ""
        super().__init__(where + message)
        self.message = where + message
        self.remedy = remedy
        self.column = column
