"""What every package may use: messages, options, folders. It knows nothing of codecs."""
