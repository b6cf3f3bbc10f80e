"""`make bench`: measures the bridge beside other servers on a line at true speed."""
