"""How scan and masks are looked at: one scan on the stage, masks side by side, planes, surfaces."""
