"""What every part of the window uses: jobs beside the window, closing, text, keys."""
