"""Around a run: what Kedro calls before, between and after the nodes; none of it is a stage."""
