"""The tags that say what a column is for, with Merlin's names (standard library only)."""

import enum
from collections.abc import Iterable

__all__ = ["Tags", "normalize_tags"]


class Tags(enum.StrEnum):
    """What a column means to a model. A tag equals its text: `Tags.TARGET == "target"`."""

    CATEGORICAL = "categorical"
    CONTINUOUS = "continuous"
    LIST = "list"
    SEQUENCE = "sequence"
    TEXT = "text"
    TOKENIZED = "tokenized"
    TIME = "time"
    EMBEDDING = "embedding"
    ID = "id"
    USER = "user"
    ITEM = "item"
    SESSION = "session"
    CONTEXT = "context"
    TARGET = "target"
    REGRESSION = "regression"
    CLASSIFICATION = "classification"
    BINARY = "binary"
    MULTI_CLASS = "multi_class"
    # Merlin's compound tags: kept as names, stored as their two parts (see `normalize_tags`).
    USER_ID = "user_id"
    ITEM_ID = "item_id"
    SESSION_ID = "session_id"
    TEXT_TOKENIZED = "text_tokenized"
    BINARY_CLASSIFICATION = "binary_classification"
    MULTI_CLASS_CLASSIFICATION = "multi_class_classification"


_COMPOUND: dict[str, tuple[Tags, Tags]] = {
    Tags.USER_ID: (Tags.USER, Tags.ID),
    Tags.ITEM_ID: (Tags.ITEM, Tags.ID),
    Tags.SESSION_ID: (Tags.SESSION, Tags.ID),
    Tags.TEXT_TOKENIZED: (Tags.TEXT, Tags.TOKENIZED),
    Tags.BINARY_CLASSIFICATION: (Tags.BINARY, Tags.CLASSIFICATION),
    Tags.MULTI_CLASS_CLASSIFICATION: (Tags.MULTI_CLASS, Tags.CLASSIFICATION),
}
_KNOWN = {tag.value: tag for tag in Tags}


def normalize_tags(tags: Iterable[str]) -> frozenset[str]:
    """Give the set of tags as columns store it.

    Args:
        tags: `Tags` or any text; text that is a known tag becomes that tag, other text is a tag
            of the user's own and is kept.

    Returns:
        The tags, compound ones replaced by their two parts.

    Raises:
        TypeError: `tags` is one string, or holds something that is not a string.

    >>> sorted(map(str, normalize_tags(["user_id", "mine"])))
    ['id', 'mine', 'user']
    """
    if isinstance(tags, str):
        raise TypeError(f"tags must be a list of tags, got the string {tags!r}; write [{tags!r}]")
    out: set[str] = set()
    for tag in tags:
        if not isinstance(tag, str):
            raise TypeError(f"a tag must be a string or one of Tags, got {tag!r}")
        out.update(_COMPOUND.get(str(tag), (_KNOWN.get(str(tag), str(tag)),)))
    return frozenset(out)
