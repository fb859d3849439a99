"""What a maintainer runs to make a release and to check it.  Not part of the package."""
