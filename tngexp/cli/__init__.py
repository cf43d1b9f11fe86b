"""The command line of a trained codec: ``tng compress``, ``tng decompress``, ``tng info``."""
