"""Image sources: files, folders, globs, archives, lists and standard input, found one after the other."""

from capsedge.runtime.infer.sources.gather import Images, find_images
from capsedge.runtime.infer.sources.source import STDIN, File, Given, ImageSource, Stdin, Unreadable, shown

__all__ = ["STDIN", "File", "Given", "ImageSource", "Images", "Stdin", "Unreadable", "find_images", "shown"]
