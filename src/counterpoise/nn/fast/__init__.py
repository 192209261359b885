"""Private hooks of libraries, each with its measured gain over the public call."""
