"""What an error's traceback keeps."""

import traceback


def let_go(error: BaseException | None) -> None:
    """Empty the frames that an error passed through: they would keep what was decoded until the next collection."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
