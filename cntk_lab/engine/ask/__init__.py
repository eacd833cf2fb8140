"""The users' door: data are matched to variables, a plan and a tier are chosen, results get the user's form."""
