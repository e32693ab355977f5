"""Words and times of long recordings, compared with transformers' long form."""
