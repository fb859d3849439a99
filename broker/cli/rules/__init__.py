"""``broker rules``: check and format files of rules, run them on recorded events and on a mesh, explain them."""
