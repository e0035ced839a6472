"""Where each dataset keeps its images and labels, in a folder or in an archive."""
