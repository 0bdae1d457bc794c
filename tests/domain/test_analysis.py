"""Words: what a question and a document must have in common, language by language."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.domain import analysis
from antiphon.domain.analysis import (
    ALGORITHMS,
    ANALYSIS_VERSION,
    MAX_QUERY_TERMS,
    MAX_TERM_CHARACTERS,
    analyse,
    analyse_in_both,
    query_terms,
)
from antiphon.domain.stop_words import STOP_WORDS


def common(document: str, question: str, language: str) -> set[str]:
    """The terms by which the question finds the document."""
    found = {term for alternative in query_terms(question, [language]) for term in alternative.split()}
    return found & set(analyse(document, language).split())


@pytest.mark.parametrize(
    ("language", "document", "question"),
    [
        ("en", "The cells were dividing", "cell division and dividing cells"),
        ("de", "In den Häusern am Fluß", "haus"),
        ("de", "STRASSEN", "Straße"),
        ("de", "Donaudampfschifffahrtsgesellschaften", "donaudampfschifffahrtsgesellschaft"),
        ("fr", "Les élèves de l'école", "eleve"),
        ("fr", "C'est l’hôtel d'été", "hotel"),
        ("es", "las naciones unidas", "nación"),
        ("it", "gli italiani dell'università", "universita italiano"),
        ("pt", "as cidades brasileiras", "brasileiro"),
        ("nl", "de katten slapen", "kat"),
        ("sv", "flickorna sjöng", "flicka"),
        ("da", "Æblerne", "æbler"),
        ("fi", "taloissa", "talo"),
        ("pl", "książkami", "książka"),
        ("cs", "knihami", "kniha"),
        ("hu", "házakban", "ház"),
        ("ro", "cărțile", "cărți"),
        ("ru", "Книги читаются", "книга"),
        ("ru", "ещё ёлка", "елка"),
        ("uk", "їжак їсть", "їжак"),
        ("el", "ΣΟΦΟΣ", "σοφός"),
        ("tr", "İSTANBUL'da", "istanbul"),
        ("tr", "ISPARTA", "ısparta"),
        ("tr", "kitapları", "kitap"),
        ("ar", "الْمَدْرَسَة الكبيرة", "مدرسة"),
        ("ar", "أحمد", "احمد"),
        ("hi", "किताबें", "किताब"),
        ("ta", "புத்தகங்கள்", "புத்தகம்"),
        ("id", "membaca buku-bukunya", "buku"),
        ("he", "שָׁלוֹם", "שלום"),
        ("zh", "我在北京大学学习", "北京大学"),
        ("zh", "一只猫睡觉", "猫"),
        ("ja", "東京都に住んでいます", "東京"),
        ("ja", "ﾃﾞｰﾀﾍﾞｰｽ", "データベース"),
        ("ko", "학교에서 공부합니다", "학교"),
        ("ko", "물을 마신다", "물"),
        ("th", "ภาษาไทยไม่ยาก", "ภาษาไทย"),
        ("my", "မြန်မာဘာသာ", "မြန်မာ"),
        ("", "naïve Ångström ﬁle", "NAIVE angstrom file"),
        ("xx", "unknown languages", "unknown languages"),
    ],
)
def test_a_question_finds_the_document_in_its_language(language: str, document: str, question: str) -> None:
    assert common(document, question, language)


@pytest.mark.parametrize(
    ("language", "document", "question"),
    [
        ("zh", "北京大学", "京北"),
        ("", "की", "का"),
        ("de", "Dampfschiff", "schiff"),
        ("en", "universe", "diverse"),
        ("th", "ปลา", "ปู่"),
    ],
)
def test_what_is_another_word_is_not_found(language: str, document: str, question: str) -> None:
    assert not common(document, question, language)


def test_names_in_code_are_found_whole_and_by_their_parts() -> None:
    terms = analyse("parseHTTPResponse(get_user_id)", "en").split()
    for part in ("http", "get_user_id", "user", "id"):
        assert part in terms
    assert query_terms("parsehttpresponse", ["en"])[0] in terms
    assert {"c++", "c#"} <= set(analyse("C++ and C# code", "en").split())
    assert "c++" not in analyse("C", "en").split()


@pytest.mark.parametrize(
    ("one", "other"),
    [("IL-6", "IL6"), ("COVID‑19", "covid19"), ("e-mail", "email"), ("Wi-Fi", "wifi"), ("UTF-8", "utf8"),
     ("p53", "p-53"), ("python3", "Python 3")],
)  # fmt: skip
def test_names_are_found_with_hyphens_and_without(one: str, other: str) -> None:
    assert common(one, other, "en")
    assert common(other, one, "en")


def test_the_small_words_of_a_compound_are_no_question() -> None:
    assert query_terms("state-of-the-art", ["en"]) == ("state art stateoftheart",)
    assert analyse("2024-01-05", "en") == "2024 01 05"


def test_numbers_are_kept_however_they_are_written() -> None:
    assert analyse("1,000 genomes, 3.11, 10.0.0.1 and 2,5", "en").split() == [
        "1000",
        "genom",
        "3.11",
        "10.0.0.1",
        "and",
        "2.5",
    ]
    assert analyse("١٢٣ ४५", "ar").split() == ["123", "45"]


def test_stop_words_leave_the_question_unless_it_has_nothing_else() -> None:
    assert query_terms("what is the answer", ["en"]) == ("answer",)
    assert query_terms("To be or not to be", ["en"]) == ("to be or not",)
    assert "to" in analyse("To be or not to be", "en").split()
    assert query_terms("la casa de papel", ["es"]) == ("cas papel",)


def test_every_language_of_the_scope_gives_an_alternative() -> None:
    english, german = query_terms("running houses", ["en", "de"])
    assert english == "run hous"
    assert german != english
    assert query_terms("SQLite 3.40", ["en", "de", ""]) == query_terms("SQLite 3.40", ["en"])[:1] + tuple(
        one for one in query_terms("SQLite 3.40", ["de", ""]) if one != query_terms("SQLite 3.40", ["en"])[0]
    )


def test_a_question_without_words_has_no_terms() -> None:
    assert query_terms(" ?! … ", ["en", "zh"]) == ()
    assert query_terms("", []) == ()


def test_a_pasted_page_is_cut() -> None:
    (terms,) = query_terms(" ".join(f"word{i}x" for i in range(5_000)), ["en"])
    assert len(terms.split()) == MAX_QUERY_TERMS


@given(st.text(max_size=200), st.sampled_from([*ALGORITHMS, "zh", ""]))
def test_terms_are_what_an_index_can_hold(text: str, language: str) -> None:
    """No term holds a space, an upper-case ASCII letter or ASCII punctuation beyond `_.+#`; the same text
    gives the same terms; every term of a question is one of the same text as a document."""
    terms = analyse(text, language).split(" ") if analyse(text, language) else []
    for term in terms:
        assert term
        assert not re.search(r"[\x00-\x20A-Z!\"$-*,\-/:-@\[-^`{-\x7f]", term), repr(term)
        assert len(term) <= MAX_TERM_CHARACTERS
    assert analyse(text, language) == " ".join(terms)
    for alternative in query_terms(text, [language]):
        assert set(alternative.split(" ")) <= set(terms)


@given(st.one_of(st.text(max_size=200), st.from_regex(r"[ -~]{0,60}")), st.sampled_from([*ALGORITHMS, None]))
def test_terms_in_both_forms_are_those_of_both_analyses(text: str, language: str | None) -> None:
    both = analyse_in_both(text, language).split()
    assert set(both) == {*analyse(text, language).split(), *analyse(text, None).split()}
    assert " ".join(both).startswith(analyse(text, language))


@given(st.from_regex(r"[ -~\n\t]{0,80}", fullmatch=True))
def test_ascii_falls_into_the_words_that_any_text_does(text: str) -> None:
    assert analysis._ASCII_TOKEN.findall(text) == analysis._TOKEN.findall(text)


def test_the_rules_are_those_of_this_version() -> None:
    """Whoever changes what comes out raises ANALYSIS_VERSION and these terms."""
    assert ANALYSIS_VERSION == 2
    assert analyse("The Mice's house-keeping at 37.5° don't work: fooBar, été, 東京", "en") == (
        "the mice hous keep housekeep at 37.5 do work foobar foo bar ete 東京 東 京"
    )
    assert all(stops for stops in STOP_WORDS.values())
