"""XML as a stream of what begins, what is said and what ends; entities and document types are refused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from antiphon.ports.document_parser import ParseFailed

START: Final = "start"
END: Final = "end"
TEXT: Final = "text"
_NO_ATTRIBUTES: Final[dict[str, str]] = {}


class Event(NamedTuple):
    """`value` is an element's local name, or text. Attributes have their local names too."""

    kind: str
    value: str
    attributes: dict[str, str]


def _local(attributes: dict[str, str]) -> dict[str, str]:
    """Attributes by local name; of two (`id` and `r:id`) the one with a namespace is meant."""
    names: dict[str, str] = {}
    for key, value in attributes.items():
        space, _, name = key.rpartition("}")
        if space or name not in names:
            names[name] = value
    return names


class _Sink:
    """What the parser tells; taken away after each piece of input, so that no tree is built."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        names = _local(attributes) if attributes else _NO_ATTRIBUTES
        self.events.append(Event(START, tag.rpartition("}")[2], names))

    def end(self, tag: str) -> None:
        self.events.append(Event(END, tag.rpartition("}")[2], _NO_ATTRIBUTES))

    def data(self, text: str) -> None:
        self.events.append(Event(TEXT, text, _NO_ATTRIBUTES))

    def close(self) -> None:
        """Nothing is left to hand over."""


def events(chunks: Iterable[bytes], what: str) -> Iterator[Event]:
    """Read XML; `what` names the part in messages. Raises ParseFailed."""
    sink = _Sink()
    parser = DefusedXMLParser(target=sink, forbid_dtd=True)
    try:
        for chunk in chunks:
            parser.feed(chunk)
            if sink.events:
                yield from sink.events
                sink.events = []
        parser.close()
        yield from sink.events
    except DefusedXmlException as error:
        raise ParseFailed(f"{what} declares entities or a document type.", code="invalid_file") from error
    except (ParseError, ValueError, LookupError) as error:
        raise ParseFailed(f"{what} is not well-formed XML.", code="invalid_file") from error
