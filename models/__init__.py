"""Networks, their training and their files; knows arrays, not takes, patches or processes."""
