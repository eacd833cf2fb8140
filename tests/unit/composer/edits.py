"""What edits of a program changed, and what they must not change."""

import difflib


def hunks(before, after):
    """How many stretches of lines differ."""
    matcher = difflib.SequenceMatcher(None, before.splitlines(), after.splitlines(), autojunk=False)
    return sum(tag != "equal" for tag, *_ in matcher.get_opcodes())


def own(composer):
    """(place of the layer, name of the weight) -> parameter, for all layers of the model."""
    owners = composer._memory.owners
    return {owners[id(p)][1]: p for p in composer.model.parameters if id(p) in owners}
