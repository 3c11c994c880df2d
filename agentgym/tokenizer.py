"""`Tokenizer`: what chat templates and policies need of a Hugging Face tokenizer."""

from typing import Any, Protocol

from agentgym.message import Message


class Tokenizer(Protocol):
    """The part of a Hugging Face tokenizer that is used here."""

    @property
    def eos_token_id(self) -> int | None:
        """The id that ends a text."""
        ...

    @property
    def all_special_tokens(self) -> list[str]:
        """The control tokens' texts."""
        ...

    @property
    def all_special_ids(self) -> list[int]:
        """The control tokens' ids."""
        ...

    def get_added_vocab(self) -> dict[str, int]:
        """Return the tokens that are never the product of a merge."""
        ...

    def apply_chat_template(
        self,
        conversation: list[Message],
        *,
        tools: list[dict[str, Any]] | None,
        tokenize: bool,
        add_generation_prompt: bool,
        **kwargs: Any,
    ) -> Any:
        """Render messages; a str where `tokenize` is False."""
        ...

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        """Return the text's ids."""
        ...

    def decode(
        self, token_ids: Any, *, skip_special_tokens: bool, clean_up_tokenization_spaces: bool
    ) -> Any:
        """Return the ids' text."""
        ...
