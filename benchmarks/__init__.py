"""`make bench`: the bridge beside other servers, measured on a line at true speed."""
