"""Measuring retrieval on a benchmark, through the same index and the same fusion as every search.

A benchmark is a folder as BEIR has them: `corpus.jsonl` (`_id`, `title`, `text`), `queries.jsonl` (`_id`,
`text`) and `qrels/test.tsv` (query, document, grade). Its documents become files of one collection. A
document ranks where its best passage does.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from antiphon.domain import ids
from antiphon.domain.analysis import ANALYSIS_VERSION, analyse, query_terms
from antiphon.domain.chunking import cut
from antiphon.domain.collections import Chunking, Collection, Member
from antiphon.domain.errors import InvalidRequest
from antiphon.domain.evaluation import DEPTH, SYSTEMS, Figures, Quality, mean, percentile, quality
from antiphon.domain.files import File, Version
from antiphon.domain.languages import guess_language
from antiphon.domain.passages import Candidates, IndexQuery, NewPassage, Source
from antiphon.domain.ranking import fuse, fuse_ranks, legs
from antiphon.ports.clock import Clock
from antiphon.ports.embedder import Embedder
from antiphon.ports.knowledge import Knowledge
from antiphon.ports.passage_index import IndexScopes, PassageIndex, Vectors

T = TypeVar("T", bound=msgspec.Struct)

BATCH: Final = 64
"""Documents that are indexed at once."""
MARK: Final = "evaluation"


class Document(msgspec.Struct, frozen=True):
    """A line of the corpus."""

    id: str = msgspec.field(name="_id")
    text: str = ""
    title: str = ""


class _Query(msgspec.Struct, frozen=True):
    id: str = msgspec.field(name="_id")
    text: str = ""


class _Indexed(msgspec.Struct, frozen=True):
    """What a directory holds already."""

    fingerprint: str
    collection_id: str
    documents: int
    passages: int


class Benchmark:
    """A folder in BEIR's shape; raises InvalidRequest for one that is not."""

    def __init__(self, folder: Path) -> None:
        self.name = folder.resolve().name
        self._folder = folder
        self.judgements = self._read_judgements()
        wanted = {query.id: query.text for query in self._lines("queries.jsonl", _Query)}
        self.queries = {one: wanted[one] for one in self.judgements if one in wanted}
        if not self.queries:
            raise InvalidRequest(f"No query of '{folder}' has judgements.")

    def documents(self) -> Iterator[Document]:
        """Read the corpus line by line."""
        return self._lines("corpus.jsonl", Document)

    def fingerprint(self) -> str:
        """Return a hash of the corpus."""
        try:
            with (self._folder / "corpus.jsonl").open("rb") as lines:
                return hashlib.file_digest(lines, "sha256").hexdigest()
        except OSError as error:
            raise self._unreadable("corpus.jsonl", error) from None

    def _lines(self, name: str, kind: type[T]) -> Iterator[T]:
        decoder = msgspec.json.Decoder(kind)
        number = 0
        try:
            with (self._folder / name).open("rb") as lines:
                for line in lines:
                    number += 1
                    if line.strip():
                        yield decoder.decode(line)
        except OSError as error:
            raise self._unreadable(name, error) from None
        except msgspec.DecodeError as error:
            raise InvalidRequest(f"'{name}', line {number}: {error}.") from None

    def _unreadable(self, name: str, error: OSError) -> InvalidRequest:
        return InvalidRequest(f"'{self._folder / name}' cannot be read: {error.strerror}.")

    def _read_judgements(self) -> dict[str, dict[str, int]]:
        path = self._folder / "qrels" / "test.tsv"
        found: dict[str, dict[str, int]] = {}
        try:
            for number, line in enumerate(path.read_text().splitlines()):
                query, document, grade = line.split("\t")
                if number or grade.lstrip("-").isdecimal():  # the first line names the columns
                    found.setdefault(query, {})[document] = int(grade)
        except OSError as error:
            raise self._unreadable("qrels/test.tsv", error) from None
        except ValueError:
            raise InvalidRequest(f"'{path}': each line is a query, a document and a grade.") from None
        return found


class Evaluation:
    """Measures; `embedder` is None where only words are compared."""

    def __init__(
        self, store: Knowledge, index: PassageIndex, scopes: IndexScopes, vectors: Vectors,
        embedder: Embedder | None, clock: Clock,
    ) -> None:  # fmt: skip
        self._store = store
        self._index = index
        self._scopes = scopes
        self._vectors = vectors
        self._embedder = embedder
        self._clock = clock
        self._owner = ""
        self._rates: dict[str, float] = {}

    async def run(self, benchmark: Benchmark, *, passage_tokens: int, candidates: int) -> Figures:
        """Index a benchmark unless it is there already, ask all its questions, and return what was found.

        `passage_tokens` is the length documents are cut to, `candidates` what each leg may propose. Raises
        InvalidRequest if the directory holds another benchmark, ProviderError if the model fails.
        """
        indexed = await self._indexed(benchmark, passage_tokens)
        languages = await self._scopes.languages([indexed.collection_id])
        results: dict[str, dict[str, Quality]] = {}
        searched: list[float] = []
        embedded: list[float] = []
        for query_id, text in benchmark.queries.items():
            vector = await self._question(text, embedded)
            query = IndexQuery(
                scopes=(indexed.collection_id,), terms=query_terms(text, languages), vector=vector,
                model=self._embedder.model if self._embedder else None, limit=candidates,
            )  # fmt: skip
            rankings = await self._rankings(query, searched)
            judged = benchmark.judgements[query_id]
            results[query_id] = {name: quality(ranking, judged) for name, ranking in rankings.items()}
        systems = SYSTEMS if self._embedder else SYSTEMS[:1]
        return Figures(
            dataset=benchmark.name,
            documents=indexed.documents,
            passages=indexed.passages,
            model=self._embedder.model if self._embedder else None,
            qualities={name: mean([one[name] for one in results.values()]) for name in systems},
            queries={query: {name: one[name].ndcg_10 for name in systems} for query, one in results.items()},
            search_p50_ms=percentile(searched, 0.5),
            search_p95_ms=percentile(searched, 0.95),
            embed_p50_ms=percentile(embedded, 0.5) if embedded else None,
            **self._rates,
        )

    async def _question(self, text: str, times: list[float]) -> bytes | None:
        if self._embedder is None:
            return None
        began = time.perf_counter()
        answer = await self._embedder.embed([text], "query")
        times.append((time.perf_counter() - began) * 1000)
        return answer.vectors[0]

    async def _rankings(self, query: IndexQuery, times: list[float]) -> dict[str, list[str]]:
        """Return the documents in each system's order."""
        began = time.perf_counter()
        found = await self._index.search(query)
        proposed = legs(found, query.limit)
        fused = [one.passage_id for one in fuse(proposed)]
        times.append((time.perf_counter() - began) * 1000)
        orders = {
            "words": [hit.passage_id for hit in found.lexical],
            "vectors": [hit.passage_id for hit in found.dense],
            "both": fused,
            "ranks": fuse_ranks(proposed),
        }
        documents = await self._documents(query.scopes, found)
        return {
            name: list(dict.fromkeys(documents[one] for one in order))[:DEPTH]
            for name, order in orders.items()
        }

    async def _documents(self, scopes: Sequence[str], found: Candidates) -> dict[int, str]:
        numbers = [hit.passage_id for hit in (*found.lexical, *found.dense)]
        passages = await self._index.passages(scopes, list(dict.fromkeys(numbers)))
        return {one.id: str(one.attributes["document"]) for one in passages}

    # --- indexing

    async def _indexed(self, benchmark: Benchmark, passage_tokens: int) -> _Indexed:
        fingerprint = f"{await asyncio.to_thread(benchmark.fingerprint)} {passage_tokens} {ANALYSIS_VERSION}"
        kept = await self._scopes.marked(MARK)
        if kept is None:
            indexed = await self._index_all(benchmark, passage_tokens, fingerprint)
            await self._scopes.mark(MARK, msgspec.json.encode(indexed))
        else:
            indexed = msgspec.json.decode(kept, type=_Indexed)
            if indexed.fingerprint != fingerprint:
                raise InvalidRequest("The directory holds another benchmark, or this one cut otherwise.")
        await self._embed()
        return indexed

    async def _index_all(self, benchmark: Benchmark, passage_tokens: int, fingerprint: str) -> _Indexed:
        owner = ids.new_id(0)
        now = self._clock.now_us()
        collection = Collection(
            id=ids.new_id(0), owner_id=owner, slot=0, name=benchmark.name, created_us=now, active_us=now
        )
        await self._store.collections.put(collection)
        chunking = Chunking(passage_tokens, automatic=False)
        corpus = benchmark.documents()
        documents = passages = 0
        began = time.perf_counter()
        while batch := list(islice(corpus, BATCH)):
            cut_batch = await asyncio.to_thread(_cut, batch, chunking)
            await asyncio.gather(
                *(
                    self._index_one(collection, document, found)
                    for document, found in zip(batch, cut_batch, strict=True)
                )
            )
            documents += len(batch)
            passages += sum(len(found) for _, found in cut_batch)
        seconds = time.perf_counter() - began
        self._rates |= {
            "documents_per_second": documents / seconds,
            "passages_per_second": passages / seconds,
        }
        return _Indexed(fingerprint, collection.id, documents, passages)

    async def _index_one(
        self, collection: Collection, document: Document, found: tuple[str | None, list[NewPassage]]
    ) -> None:
        language, passages = found
        digest = hashlib.sha256(document.text.encode()).hexdigest()
        now = self._clock.now_us()
        file_id, owner = ids.new_id(0), collection.owner_id
        file = File(
            id=file_id, owner_id=owner, slot=0, filename=document.id, purpose="evals",
            bytes=len(document.text), digest=digest, created_us=now,
        )  # fmt: skip
        version = Version(
            file_id=file_id, number=1, owner_id=owner, digest=digest, bytes=file.bytes, created_us=now,
            language=language, title=document.title,
        )  # fmt: skip
        await self._store.files.put(file, version)
        member = Member(
            id=ids.new_id(0), collection_id=collection.id, file_id=file_id, owner_id=owner, slot=0,
            created_us=now, attributes={"document": document.id}, state="completed",
        )  # fmt: skip
        await self._store.members.put([member])
        source = Source(
            id=ids.new_id(0), kind="file", owner_id=owner, scope=collection.id, ref_id=file_id, version=1,
            title=document.title, language=language,
        )  # fmt: skip
        await self._index.add(source, passages)
        await self._index.publish(source.id)

    async def _embed(self) -> None:
        """Embed what has no vector of the model."""
        if self._embedder is None:
            return
        began, count = time.perf_counter(), 0
        while missing := await self._vectors.missing_anywhere(self._embedder.model, self._embedder.max_batch):
            answer = await self._embedder.embed([one.text for _, one in missing], "document")
            owner = missing[0][0]
            vectors = [
                (one.text_hash, vector) for (_, one), vector in zip(missing, answer.vectors, strict=True)
            ]
            await self._vectors.put(owner, self._embedder.model, vectors)
            count += len(missing)
        if count:
            self._rates["embedded_per_second"] = count / (time.perf_counter() - began)


def _cut(batch: Sequence[Document], chunking: Chunking) -> list[tuple[str | None, list[NewPassage]]]:
    return [_passages(one, chunking) for one in batch]


def _passages(document: Document, chunking: Chunking) -> tuple[str | None, list[NewPassage]]:
    """Return a document's language and its passages, with the title as their heading."""
    language = guess_language(document.text)
    found = []
    for ordinal, piece in enumerate(cut([document.text], "plain", chunking, title=document.title)):
        found.append(
            NewPassage(
                ordinal=ordinal, start=piece.start, end=piece.end, text=piece.text, heading=piece.heading,
                title_terms=analyse(piece.heading, language), body_terms=analyse(piece.text, language),
            )
        )  # fmt: skip
    return language, found
