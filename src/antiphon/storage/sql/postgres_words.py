"""The words' leg on PostgreSQL: BM25 over lexemes that say how often a word stands in a passage.

PostgreSQL's own ranks know nothing of how rare a word is. So a passage has, for each of its words, one
lexeme `scope:word:times` in a `tsvector` with a GIN index: looking it up tells which passages of the
scope have the word that often, and reads nothing else of them than narrow rows. The query asks for
every count of every word; the number of passages found is the word's frequency, and the formula is that
of SQLite's FTS5 (k1 1.2, b .75), with figures of the scope and not of the whole table: no owner's words
weigh on another's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

from antiphon.domain.passages import IndexQuery, LegHit, NewPassage
from antiphon.storage.sql.database import Db
from antiphon.storage.sql.knowledge_index_search import TITLE_WEIGHT, history_conditions
from antiphon.storage.sql.knowledge_index_terms import MAX_TERM, PLACE, cleaned, in_order, terms_of

TIMES: Final = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 24, 40)
"""Counts that are told apart: beyond 8 the score changes by less than 2 % between two of them."""
MOST_KEYS: Final = 5_000
"""Lexemes one query looks up; beyond that (hundreds of scopes) how often a word stands counts no more."""

_NEAREST: Final = tuple(min(TIMES, key=lambda one: abs(one - times)) for times in range(TIMES[-1] + 1))

_FOUND: Final = """
WITH asked AS MATERIALIZED (SELECT * FROM unnest(CAST(? AS BIGINT[]),CAST(? AS INT[]),CAST(? AS INT[]),
    CAST(? AS TEXT[])) AS a(scope_no,term,times,key)),
found AS MATERIALIZED (SELECT a.scope_no,a.term,CAST(a.times AS FLOAT8) AS times,p.no,p.source_no,
    CAST(p.length AS FLOAT8) AS length FROM asked a
    CROSS JOIN LATERAL (SELECT no,source_no,length FROM passages
        WHERE terms @@ CAST(a.key AS TSQUERY) OFFSET 0) p
    JOIN sources s ON s.no=p.source_no AND s.state='live'),
weighed AS MATERIALIZED (SELECT n.scope_no,n.term,CAST(c.words AS FLOAT8)/c.total AS average,
    greatest(ln((c.total-n.passages+0.5)/(n.passages+0.5)),0.000001) AS idf
    FROM (SELECT scope_no,term,CAST(count(*) AS FLOAT8) AS passages FROM found GROUP BY scope_no,term) n
    JOIN scopes c ON c.no=n.scope_no)
SELECT f.no,round(CAST(sum(w.idf*f.times*2.2/(f.times+0.3+0.9*f.length/w.average)) AS FLOAT8)*1e12)/1e12
    AS score
FROM found f JOIN weighed w ON w.scope_no=f.scope_no AND w.term=f.term"""

_HOLDING: Final = (
    "SELECT p.no FROM passages p JOIN passage_texts t ON t.no=p.no WHERE p.terms @@ CAST(? AS TSQUERY)"
    " AND EXISTS (SELECT 1 FROM unnest(CAST(? AS TEXT[])) w"
    " WHERE strpos(' '||lower(t.title)||'  '||lower(t.body)||' ',w)>0)"
)
"""Passages with one of several phrases, found by their words first; none goes on from heading to text."""


def lexemes(scope_no: int, passage: NewPassage) -> tuple[int, str]:
    """Return a passage's length, and its lexemes separated by spaces."""
    return lexemes_of(scope_no, passage.title_terms, passage.body_terms)


def lexemes_of(scope_no: int, title_terms: str, body_terms: str) -> tuple[int, str]:
    """Return the length and the lexemes of a passage with these terms."""
    title, body = title_terms.lower().split(), body_terms.lower().split()
    times = Counter(body)
    for term in title:
        times[term] += int(TITLE_WEIGHT)
    found = (
        f"{scope_no}:{term[:MAX_TERM]}:{_NEAREST[min(count, TIMES[-1])]}" for term, count in times.items()
    )
    return len(title) + len(body) + PLACE, " ".join(found)


def words(db: Db, scopes: Sequence[int], sources: frozenset[int] | None, query: IndexQuery) -> list[LegHit]:
    """See `IndexEngine.words`."""
    terms = terms_of(query.terms)
    prefix = cleaned(query.prefix) if query.prefix else ""
    if not (terms or prefix) or not scopes or (sources is not None and not sources):
        return []
    keys = list(_keys(scopes, terms, prefix))
    statement, values = f"{_FOUND} WHERE TRUE", [list(column) for column in zip(*keys, strict=True)]
    for condition, more in _conditions(scopes, sources, query):
        statement += condition
        values += more
    found = db.execute(f"{statement} GROUP BY f.no ORDER BY score DESC,f.no LIMIT ?", (*values, query.limit))
    return [LegHit(no, score) for no, score in found]


def _keys(scopes: Sequence[int], terms: Sequence[str], prefix: str) -> Iterator[tuple[int, int, int, str]]:
    """Yield what is looked up: scope, number of the word, how often it stands, and the query."""
    told_apart = len(scopes) * len(terms) * len(TIMES) <= MOST_KEYS
    for scope in scopes:
        for number, term in enumerate(terms):
            if told_apart:
                yield from ((scope, number, times, _quoted(f"{scope}:{term}:{times}")) for times in TIMES)
            else:
                yield scope, number, 1, _with(scope, term)
        if prefix:
            yield scope, len(terms), 1, _quoted(f"{scope}:{prefix}") + ":*"


def _quoted(lexeme: str) -> str:
    return "'" + lexeme.replace("\\", "\\\\").replace("'", "''") + "'"


def _with(scope: int, term: str) -> str:
    """Return a query for a word however often it stands."""
    return _quoted(f"{scope}:{term}:") + ":*"


def _conditions(
    scopes: Sequence[int], sources: frozenset[int] | None, query: IndexQuery
) -> Iterator[tuple[str, list[Any]]]:
    """Yield conditions on passages, each with its values."""
    if sources is not None:
        yield " AND f.source_no=ANY(CAST(? AS BIGINT[]))", [sorted(sources)]
    conditions, values = history_conditions(query.history)
    if conditions:
        yield f" AND EXISTS (SELECT 1 FROM passages p WHERE p.no=f.no{conditions})", values
    for phrase in query.phrases:
        yield f" AND f.no IN ({_HOLDING})", _holding(scopes, phrase)
    if query.excluded:
        yield f" AND f.no NOT IN ({_HOLDING})", _holding(scopes, query.excluded)


def _holding(scopes: Sequence[int], alternatives: Sequence[str]) -> list[Any]:
    """Return the values of `_HOLDING`."""
    split = [in_order(one) for one in alternatives]
    known = [one for one in split if one]
    parts = (
        "(" + "&".join(_with(scope, term) for term in dict.fromkeys(words)) + ")"
        for words in known
        for scope in scopes
    )
    return ["|".join(parts), [f" {' '.join(words)} " for words in known]]
