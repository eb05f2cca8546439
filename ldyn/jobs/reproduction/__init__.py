"""The whole paper over seeds: a plan of ordinary runs, carried out side by side, that can stop and go on anywhere."""
